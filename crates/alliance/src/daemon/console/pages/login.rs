//! The login.

use axum::response::Html;
use maud::html;

use super::frame;
use crate::daemon::Daemon;

/// The page. `why` the last one did not work.
pub(in crate::daemon::console) fn page(
    daemon: &Daemon,
    then: &str,
    why: Option<&str>,
) -> Html<String> {
    let settings = &daemon.config.console;
    let cloud = &daemon.config.cloud.name;
    let body = html! {
        main.narrow #main tabindex="-1" {
            h1 { "Alliance at " (cloud) }
            p { "For operators: role " b { (settings.role) } " on project " b { (settings.project_name) } ", or on the system." }
            @if let Some(why) = why {
                p.warning role="alert" { (why) }
            }
            form.card method="post" action="/login" {
                h2 { "By password" }
                input type="hidden" name="then" value=(then);
                label for="username" { "User" }
                input #username name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="255";
                label for="domain" { "Domain" }
                input #domain name="domain" value=(settings.project_domain_name) required maxlength="255";
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password" required;
                label for="scope" { "Scope" }
                select #scope name="scope" {
                    option value="project" { "project " (settings.project_name) " in " (settings.project_domain_name) }
                    option value="system" { "the system" }
                }
                button type="submit" { "Log in" }
            }
            form.card method="post" action="/login" {
                h2 { "By token" }
                input type="hidden" name="then" value=(then);
                label for="subject" { "Token of " (cloud) }
                textarea #subject name="subject" rows="3" autocomplete="off" spellcheck="false" required aria-describedby="how" {}
                p.hint #how { "With that scope: " code { "openstack token issue -f value -c id" } }
                button type="submit" { "Log in" }
            }
        }
    };
    frame(&format!("Log in · {cloud}"), false, &body)
}
