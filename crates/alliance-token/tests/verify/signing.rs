//! Signing, for tests only: the product never does.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD};
use miniz_oxide::deflate::compress_to_vec_zlib;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const INTEGER: u8 = 0x02;
/// `[0]`, constructed.
const FIRST: u8 = 0xa0;

const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const CONTENT_TYPE: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
const SHA_256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";

/// One DER value.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut whole = vec![tag];
    match u16::try_from(content.len()).expect("short").to_be_bytes() {
        [0, len] if len < 0x80 => whole.push(len),
        [0, len] => whole.extend([0x81, len]),
        [high, low] => whole.extend([0x82, high, low]),
    }
    whole.extend(content);
    whole
}

pub(crate) enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// Who signs CMS.
pub(crate) struct Signer {
    key: Key,
    issuer_and_serial: Vec<u8>,
}

impl Signer {
    pub(crate) fn new(key_pem: &str, certificate_pem: &str) -> Self {
        let key = pem(key_pem);
        let certificate = pem(certificate_pem);
        let (_, certificate) = X509Certificate::from_der(&certificate).expect("a certificate");
        let serial = der(INTEGER, &[certificate.raw_serial()]);
        Self {
            key: match RsaKeyPair::from_pkcs8(&key) {
                Ok(rsa) => Key::Rsa(rsa),
                Err(_) => Key::Ec(
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).expect("EC"),
                ),
            },
            issuer_and_serial: der(SEQUENCE, &[certificate.issuer().as_raw(), &serial]),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("signs");
                signature
            }
            Key::Ec(key) => key.sign(&random, message).expect("signs").as_ref().to_vec(),
        }
    }
}

/// CMS, part by part, each DER: so that each can be another one.
#[derive(Clone)]
pub(crate) struct Cms {
    pub(crate) kind: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) digest_algorithms: Vec<u8>,
    pub(crate) content_type: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// Between content and signers.
    pub(crate) certificates: Vec<u8>,
    pub(crate) signer_version: Vec<u8>,
    pub(crate) sid: Vec<u8>,
    pub(crate) digest_algorithm: Vec<u8>,
    pub(crate) attributes: Vec<u8>,
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) unsigned_attributes: Vec<u8>,
    /// After everything else.
    pub(crate) trailer: Vec<u8>,
}

impl Cms {
    /// As keystoneclient makes it, with SHA-256.
    pub(crate) fn of(content: &[u8], signer: &Signer) -> Self {
        let sha256 = der(SEQUENCE, &[&der(OID, &[SHA_256])]);
        let one = der(INTEGER, &[&[1]]);
        Self {
            kind: der(OID, &[SIGNED_DATA]),
            version: one.clone(),
            digest_algorithms: der(SET, &[&sha256]),
            content_type: der(OID, &[DATA]),
            content: der(FIRST, &[&der(OCTETS, &[content])]),
            certificates: vec![],
            signer_version: one,
            sid: signer.issuer_and_serial.clone(),
            digest_algorithm: sha256,
            attributes: vec![],
            signature_algorithm: match &signer.key {
                Key::Rsa(_) => der(SEQUENCE, &[&der(OID, &[RSA]), &der(0x05, &[])]),
                Key::Ec(_) => der(SEQUENCE, &[&der(OID, &[ECDSA])]),
            },
            signature: der(OCTETS, &[&signer.sign(content)]),
            unsigned_attributes: vec![],
            trailer: vec![],
        }
    }

    /// With signed attributes, of which `attributes` are the DER.
    pub(crate) fn with_attributes(content: &[u8], attributes: &[Vec<u8>], signer: &Signer) -> Self {
        let all = attributes.concat();
        Self {
            attributes: der(FIRST, &[&all]),
            signature: der(OCTETS, &[&signer.sign(&der(SET, &[&all]))]),
            ..Self::of(content, signer)
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let signer = der(
            SEQUENCE,
            &[
                &self.signer_version,
                &self.sid,
                &self.digest_algorithm,
                &self.attributes,
                &self.signature_algorithm,
                &self.signature,
                &self.unsigned_attributes,
            ],
        );
        let signed_data = der(
            SEQUENCE,
            &[
                &self.version,
                &self.digest_algorithms,
                &der(SEQUENCE, &[&self.content_type, &self.content]),
                &self.certificates,
                &der(SET, &[&signer]),
            ],
        );
        let whole = der(SEQUENCE, &[&self.kind, &der(FIRST, &[&signed_data])]);
        [whole, self.trailer.clone()].concat()
    }

    pub(crate) fn pki(&self) -> String {
        to_pki(&self.encode())
    }

    pub(crate) fn pkiz(&self) -> String {
        to_pkiz(&self.encode())
    }
}

/// The two attributes that must be there.
pub(crate) fn usual_attributes(content: &[u8]) -> Vec<Vec<u8>> {
    let digest = digest(&SHA256, content);
    vec![
        attribute(CONTENT_TYPE, &[&der(OID, &[DATA])]),
        attribute(MESSAGE_DIGEST, &[&der(OCTETS, &[digest.as_ref()])]),
    ]
}

pub(crate) fn attribute(kind: &[u8], values: &[&[u8]]) -> Vec<u8> {
    der(SEQUENCE, &[&der(OID, &[kind]), &der(SET, values)])
}

pub(crate) fn to_pki(der: &[u8]) -> String {
    BASE64.encode(der).replace('/', "-")
}

/// As keystoneclient makes it: what is compressed is PEM.
pub(crate) fn to_pkiz(der: &[u8]) -> String {
    let base64 = BASE64.encode(der);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let pem = format!(
        "-----BEGIN CMS-----\n{}\n-----END CMS-----\n",
        lines.join("\n")
    );
    let stream = compress_to_vec_zlib(pem.as_bytes(), 6);
    format!("PKIZ_{}", BASE64URL.encode(&stream))
}

/// A JWS as Keystone makes it.
pub(crate) fn jws(header: &str, claims: &str, key_pem: &str) -> String {
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pem(key_pem)).expect("EC");
    let signed = [header, claims]
        .map(|part| BASE64URL_NOPAD.encode(part.as_bytes()))
        .join(".");
    let signature = key
        .sign(&SystemRandom::new(), signed.as_bytes())
        .expect("signs");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
}

fn pem(text: &str) -> Vec<u8> {
    let block = Pem::iter_from_buffer(text.as_bytes()).next();
    block.expect("a block").expect("PEM").contents
}
