//! CMS signed data (RFC 5652 §5) as Keystone makes it: `openssl cms -sign -nodetach -nocerts`,
//! with or without `-noattr`. What nobody needs for a token is refused, so that there is one
//! encoding of each: strict DER throughout, one signer, no certificates, no unsigned attributes.
//!
//! Read without recursion and without copies; `der` refuses lengths that are indefinite or longer
//! than needed.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const MD5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// `[0]`, constructed.
const FIRST: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber::N0,
};

/// What one signer signed.
pub(crate) struct SignedData<'a> {
    pub(crate) content: &'a [u8],
    pub(crate) digest: DigestKind,
    pub(crate) scheme: Scheme,
    /// Its certificate's issuer's name, DER.
    pub(crate) issuer: &'a [u8],
    /// Content octets of its certificate's serial number.
    pub(crate) serial: &'a [u8],
    pub(crate) attributes: Option<SignedAttributes<'a>>,
    pub(crate) signature: &'a [u8],
}

/// Where they are, they are what is signed, and the content is by its digest.
pub(crate) struct SignedAttributes<'a> {
    /// All of them with the implicit tag in front, DER, in DER's order.
    encoded: &'a [u8],
    pub(crate) message_digest: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DigestKind {
    /// Broken, or no better than SHA-1; of no use even where SHA-1 is allowed.
    Weak(&'static str),
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RSASSA-PKCS1-v1_5, with the signer's digest.
    Rsa,
    /// ECDSA with SHA-256.
    Ecdsa,
}

/// What is wrong, in words that say nothing of the token.
pub(crate) type Unreadable = &'static str;

const NOT_DER: Unreadable = "its CMS is not DER, or truncated";
const TRAILING: Unreadable = "there is something after the end of its CMS or of a part of it";

impl<'a> SignedData<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, Unreadable> {
        let mut outer = Fields::whole(der)?;
        let mut content_info = outer.nested(Tag::Sequence)?;
        outer.end()?;
        content_info.expect_oid(&SIGNED_DATA, "it is CMS, but no signed data")?;
        let mut explicit = content_info.nested(FIRST)?;
        content_info.end()?;
        let mut signed_data = explicit.nested(Tag::Sequence)?;
        explicit.end()?;

        signed_data.expect_version()?;
        let mut digests = signed_data.nested(Tag::Set)?;
        let announced = digests.take(Tag::Sequence)?;
        if !digests.0.is_finished() {
            return Err("it announces more than one digest algorithm");
        }
        let mut encapsulated = signed_data.nested(Tag::Sequence)?;
        encapsulated.expect_oid(&DATA, "its content is not plain data")?;
        if encapsulated.0.is_finished() {
            return Err("its content is detached");
        }
        let mut explicit = encapsulated.nested(FIRST)?;
        encapsulated.end()?;
        let content = explicit.take(Tag::OctetString)?;
        explicit.end()?;

        if signed_data.next_tag()? != Tag::Set {
            return Err("it brings certificates or revocation lists along");
        }
        let mut signers = signed_data.nested(Tag::Set)?;
        signed_data.end()?;
        let mut signer = signers.nested(Tag::Sequence)?;
        if !signers.0.is_finished() {
            return Err("it has more than one signer");
        }
        signer.expect_version()?;
        let mut sid = signer.nested(Tag::Sequence)?;
        let issuer = sid.tlv()?;
        let serial = sid.take(Tag::Integer)?;
        sid.end()?;
        let digest_algorithm = signer.take(Tag::Sequence)?;
        if digest_algorithm != announced {
            return Err("its signer uses another digest algorithm than it announces");
        }
        let attributes = match signer.next_tag()? {
            FIRST => Some(SignedAttributes::read(signer.tlv()?)?),
            _ => None,
        };
        let scheme = Scheme::read(signer.take(Tag::Sequence)?)?;
        let signature = signer.take(Tag::OctetString)?;
        if !signer.0.is_finished() {
            return Err("it has unsigned attributes");
        }
        Ok(Self {
            content,
            digest: DigestKind::read(digest_algorithm)?,
            scheme,
            issuer,
            serial,
            attributes,
            signature,
        })
    }
}

impl<'a> SignedAttributes<'a> {
    fn read(encoded: &'a [u8]) -> Result<Self, Unreadable> {
        let mut attributes = Fields::whole(encoded)?.nested(FIRST)?;
        let mut message_digest = None;
        let mut content_type = None;
        let mut last: &[u8] = &[];
        while !attributes.0.is_finished() {
            let whole = attributes.tlv()?;
            if whole <= last {
                return Err("its signed attributes are not in DER's order");
            }
            last = whole;
            let mut attribute = Fields::whole(whole)?.nested(Tag::Sequence)?;
            let kind = attribute.take(Tag::ObjectIdentifier)?;
            let mut values = attribute.nested(Tag::Set)?;
            attribute.end()?;
            let (known, tag) = if kind == CONTENT_TYPE.as_bytes() {
                (&mut content_type, Tag::ObjectIdentifier)
            } else if kind == MESSAGE_DIGEST.as_bytes() {
                (&mut message_digest, Tag::OctetString)
            } else {
                continue;
            };
            if known.replace(values.take(tag)?).is_some() || !values.0.is_finished() {
                return Err("a signed attribute is there twice");
            }
        }
        match (content_type, message_digest) {
            (Some(content_type), Some(message_digest)) if content_type == DATA.as_bytes() => {
                Ok(Self {
                    encoded,
                    message_digest,
                })
            }
            _ => Err("its signed attributes lack the digest or the type of the content"),
        }
    }

    /// What the signature is over: the same with the tag of a SET OF (RFC 5652 §5.4).
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = self.encoded.to_vec();
        bytes[0] = u8::from(Tag::Set);
        bytes
    }
}

impl DigestKind {
    /// Without parameters, as RFC 5754 §2 has it and openssl writes it.
    fn read(algorithm: &[u8]) -> Result<Self, Unreadable> {
        let mut fields = Fields::whole(algorithm)?;
        let oid = fields.take(Tag::ObjectIdentifier)?;
        let known = [
            (SHA256, Self::Sha256),
            (SHA384, Self::Sha384),
            (SHA512, Self::Sha512),
            (SHA1, Self::Sha1),
            (SHA224, Self::Weak("SHA-224")),
            (MD5, Self::Weak("MD5")),
        ];
        let (_, kind) = known
            .into_iter()
            .find(|(known, _)| known.as_bytes() == oid)
            .ok_or("its digest algorithm is none that Keystone uses")?;
        // openssl writes MD5, and it alone, with a NULL.
        if !matches!(kind, Self::Weak(_)) {
            fields.end()?;
        }
        Ok(kind)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weak(name) => name,
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }
}

impl Scheme {
    fn read(algorithm: &[u8]) -> Result<Self, Unreadable> {
        let mut fields = Fields::whole(algorithm)?;
        let oid = fields.take(Tag::ObjectIdentifier)?;
        let scheme = if oid == RSA_ENCRYPTION.as_bytes() {
            if !fields.take(Tag::Null)?.is_empty() {
                return Err(NOT_DER);
            }
            Self::Rsa
        } else if oid == ECDSA_WITH_SHA256.as_bytes() {
            Self::Ecdsa
        } else {
            return Err(
                "its signature algorithm is neither RSA (PKCS #1 v1.5) nor ECDSA with SHA-256",
            );
        };
        fields.end()?;
        Ok(scheme)
    }
}

/// DER values one after another.
struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    fn whole(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        SliceReader::new(bytes).map(Self).map_err(|_| NOT_DER)
    }

    fn next_tag(&self) -> Result<Tag, Unreadable> {
        self.0
            .peek_header()
            .map(|header| header.tag)
            .map_err(|_| NOT_DER)
    }

    /// The content octets of the next value.
    fn take(&mut self, tag: Tag) -> Result<&'a [u8], Unreadable> {
        let value = AnyRef::decode(&mut self.0).map_err(|_| NOT_DER)?;
        if value.tag() == tag {
            Ok(value.value())
        } else {
            Err("its CMS is not built as Keystone's is")
        }
    }

    fn nested(&mut self, tag: Tag) -> Result<Fields<'a>, Unreadable> {
        Fields::whole(self.take(tag)?)
    }

    /// The next value with its tag and length.
    fn tlv(&mut self) -> Result<&'a [u8], Unreadable> {
        self.0.tlv_bytes().map_err(|_| NOT_DER)
    }

    fn expect_oid(&mut self, oid: &ObjectIdentifier, or: Unreadable) -> Result<(), Unreadable> {
        if self.take(Tag::ObjectIdentifier)? == oid.as_bytes() {
            Ok(())
        } else {
            Err(or)
        }
    }

    /// Version 1: issuer and serial number name the signer, and the content is plain data.
    fn expect_version(&mut self) -> Result<(), Unreadable> {
        if self.take(Tag::Integer)? == [1] {
            Ok(())
        } else {
            Err("its CMS has another version than 1")
        }
    }

    fn end(self) -> Result<(), Unreadable> {
        if self.0.is_finished() {
            Ok(())
        } else {
            Err(TRAILING)
        }
    }
}
