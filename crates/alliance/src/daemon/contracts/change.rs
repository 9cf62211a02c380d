//! From what an operator asks for to terms.

use std::collections::BTreeMap;

use alliance_core::terms::{Amount, Currency, PriceList, Resource, Terms};

use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::wire::{AgreementRequest, ChangeRequest, LimitsRequest};

/// The terms of a new agreement.
///
/// # Errors
/// The field that is wrong, and how.
pub(crate) fn first_terms(request: &AgreementRequest) -> Result<Terms, ApiError> {
    let mut terms = Terms {
        services: request.services.clone(),
        transitive: request.transitive,
        allow: request.allow.clone(),
        till: request.till,
        ..Terms::granting(request.roles.clone(), now())
    };
    limit(&mut terms, &request.limits)?;
    checked(terms)
}

/// The terms that a change makes of others.
///
/// # Errors
/// The field that is wrong, and how.
pub(super) fn changed(old: &Terms, request: &ChangeRequest) -> Result<Terms, ApiError> {
    let mut terms = old.clone();
    if let Some(roles) = &request.roles {
        terms.roles.clone_from(roles);
    }
    if let Some(services) = &request.services {
        terms.services.clone_from(services);
    }
    if let Some(till) = request.till {
        terms.till = till;
    }
    if let Some(transitive) = request.transitive {
        terms.transitive = transitive;
    }
    if let Some(allow) = &request.allow {
        terms.allow.clone_from(allow);
    }
    limit(&mut terms, &request.limits)?;
    checked(terms)
}

fn checked(terms: Terms) -> Result<Terms, ApiError> {
    if let Err(error) = terms.check() {
        return Err(ApiError::invalid(error.to_string()));
    }
    if terms.till.is_some_and(|till| till <= now()) {
        return Err(ApiError::invalid(
            "till: the agreement would end in the past",
        ));
    }
    Ok(terms)
}

fn limit(terms: &mut Terms, request: &LimitsRequest) -> Result<(), ApiError> {
    if let Some(since) = request.since {
        terms.since = since;
    }
    if let Some(regions) = &request.regions {
        terms.regions.clone_from(regions);
    }
    if let Some(flavors) = &request.flavors {
        terms.flavors.clone_from(flavors);
    }
    for (resource, limit) in &request.quota {
        let set = terms.quota.set(*resource, *limit);
        set.map_err(|error| ApiError::invalid(error.to_string()))?;
    }
    terms.prices = prices(terms.prices.as_ref(), request)?;
    if let Some(quarantine_after) = request.quarantine_after {
        terms.retirement.quarantine_after = quarantine_after;
    }
    if let Some(delete_after) = request.delete_after {
        terms.retirement.delete_after = delete_after;
    }
    Ok(())
}

fn prices(old: Option<&PriceList>, request: &LimitsRequest) -> Result<Option<PriceList>, ApiError> {
    let mut per_hour: BTreeMap<String, Amount> =
        old.map_or_else(BTreeMap::new, |old| old.per_hour().clone());
    for (resource, amount) in &request.prices {
        let Some(amount) = amount else {
            per_hour.remove(resource);
            continue;
        };
        let amount = amount
            .parse()
            .map_err(|error| ApiError::invalid(format!("prices.per_hour.{resource}: {error}")))?;
        let is_known = resource.parse::<Resource>().is_ok() || resource.starts_with("flavor:");
        if !is_known {
            let known = Resource::ALL.map(Resource::as_str).join(", ");
            return Err(ApiError::invalid(format!(
                "prices.per_hour.{resource}: expected one of {known}, or flavor:NAME"
            )));
        }
        per_hour.insert(resource.clone(), amount);
    }
    if per_hour.is_empty() {
        return match &request.currency {
            Some(_) => Err(ApiError::invalid(
                "prices.per_hour: a currency without a price; name what costs something",
            )),
            None => Ok(None),
        };
    }
    let currency: Currency = match (&request.currency, old) {
        (Some(code), _) => code
            .parse()
            .map_err(|error| ApiError::invalid(format!("{error}")))?,
        (None, Some(old)) => old.currency().clone(),
        (None, None) => {
            return Err(ApiError::invalid(
                "prices.currency: prices need a currency as EUR (ISO 4217)",
            ));
        }
    };
    let list = PriceList::new(currency, per_hour);
    list.map(Some)
        .map_err(|error| ApiError::invalid(error.to_string()))
}
