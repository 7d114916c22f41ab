//! Files: what is written, what is refused and how that is told.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::super::{CA_NAME, client, write_development_certificates};
use super::{development, load, refusal, replace_key, said, write};

#[test]
fn development_certificates_are_written_once_and_kept_after() {
    let directory = TempDir::new().unwrap();
    let folder = directory.path().join("certs");
    let first = write_development_certificates(&folder, &["gateway.example"]).unwrap();
    assert_eq!(first.created.len(), 4);
    let before: Vec<_> = first
        .created
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();

    let second = write_development_certificates(&folder, &["other.example"]).unwrap();
    assert!(second.created.is_empty());
    let after: Vec<_> = first
        .created
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(before == after);
}

#[test]
fn keys_are_readable_by_their_owner_only() {
    let directory = TempDir::new().unwrap();
    let written = write_development_certificates(directory.path(), &[]).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&written.key), 0o600);
    assert_eq!(mode(&written.ca_key), 0o600);
}

#[test]
fn existing_ca_signs_a_further_server_certificate() {
    let directory = TempDir::new().unwrap();
    let first = write_development_certificates(directory.path(), &[]).unwrap();
    let ca = std::fs::read(&first.ca).unwrap();
    std::fs::remove_file(&first.certificate).unwrap();
    std::fs::remove_file(&first.key).unwrap();

    let second = write_development_certificates(directory.path(), &["gateway.example"]).unwrap();
    assert_eq!(
        second.created,
        [second.certificate.clone(), second.key.clone()]
    );
    assert!(std::fs::read(&first.ca).unwrap() == ca);

    let chain = std::fs::read(&second.certificate).unwrap();
    let certificates = super::super::pem::certificates(&second.certificate, &chain).unwrap();
    let (_, server) = x509_parser::parse_x509_certificate(&certificates[0]).unwrap();
    let (_, ca) = x509_parser::parse_x509_certificate(&certificates[1]).unwrap();
    assert!(ca.is_ca() && !server.is_ca());
    assert_eq!(server.issuer().to_string(), format!("CN={CA_NAME}"));
    assert_eq!(server.issuer(), ca.subject());
    let days = |x509: &x509_parser::certificate::X509Certificate<'_>| {
        let validity = x509.validity();
        (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400
    };
    assert!(days(&server) <= 825 && days(&ca) <= 825);
}

#[test]
fn half_a_pair_is_not_completed() {
    let directory = TempDir::new().unwrap();
    let written = write_development_certificates(directory.path(), &[]).unwrap();
    std::fs::remove_file(&written.ca_key).unwrap();
    let text = said(write_development_certificates(directory.path(), &[]));
    assert!(
        text.contains("ca.pem` exists but") && text.contains("ca-key.pem` does not"),
        "{text}"
    );
}

#[test]
fn ca_whose_key_is_another_signs_nothing() {
    let directory = TempDir::new().unwrap();
    let written = write_development_certificates(directory.path(), &[]).unwrap();
    std::fs::copy(&written.key, &written.ca_key).unwrap();
    std::fs::remove_file(&written.certificate).unwrap();
    std::fs::remove_file(&written.key).unwrap();
    let text = said(write_development_certificates(directory.path(), &[]));
    assert!(
        text.contains("the key in `ca-key.pem` is not its key"),
        "{text}"
    );
}

#[test]
fn foreign_ca_signs_nothing() {
    let directory = TempDir::new().unwrap();
    let written = write_development_certificates(directory.path(), &[]).unwrap();
    // A pair that fits, but whose certificate is a server's.
    std::fs::rename(&written.certificate, &written.ca).unwrap();
    std::fs::rename(&written.key, &written.ca_key).unwrap();
    let text = said(write_development_certificates(directory.path(), &[]));
    assert!(text.contains("not a CA that this program made"), "{text}");
}

#[test]
fn what_is_no_name_gets_no_certificate() {
    let directory = TempDir::new().unwrap();
    for name in [
        "",
        "two words",
        "https://gateway.example",
        "gateway.example:443",
    ] {
        let text = said(write_development_certificates(directory.path(), &[name]));
        assert!(
            text.contains("neither a DNS name nor an IP address"),
            "{name}: {text}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn missing_file_is_named() {
    let (_directory, mut settings) = development();
    settings.certificate.set_file_name("missing.pem");
    assert!(refusal(&settings).starts_with("cannot read `"));
    assert!(refusal(&settings).ends_with("missing.pem`"));
}

#[test]
fn file_without_certificate_is_told_with_the_command_for_der() {
    let (_directory, settings) = development();
    for text in ["", "-----BEGIN", "\u{30}\u{82}\u{1}", "hello"] {
        write(&settings.certificate, text);
        let refused = refusal(&settings);
        assert!(refused.contains("no certificate in `"), "{refused}");
        assert!(refused.contains("openssl x509 -inform der"), "{refused}");
    }
}

#[test]
fn certificate_in_place_of_the_key_is_no_key() {
    let (_directory, settings) = development();
    std::fs::copy(&settings.certificate, &settings.key).unwrap();
    assert!(refusal(&settings).contains("no private key in `"));
}

#[test]
fn encrypted_key_is_told_with_the_command_to_decrypt_it() {
    let (_directory, settings) = development();
    for text in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
    ] {
        write(&settings.key, text);
        let refused = refusal(&settings);
        assert!(refused.contains("is encrypted"), "{refused}");
        assert!(refused.contains("openssl pkey -in "), "{refused}");
    }
}

#[test]
fn damaged_pem_is_told_as_such() {
    let (_directory, settings) = development();
    write(
        &settings.certificate,
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    );
    assert!(refusal(&settings).contains("is damaged PEM"));
}

#[test]
fn certificate_that_is_none_inside_is_unusable() {
    let (_directory, settings) = development();
    write(
        &settings.certificate,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    assert!(refusal(&settings).contains("cannot be used"));
}

#[test]
fn key_of_another_certificate_does_not_fit() {
    let ((_one, settings), (_other, other)) = (development(), development());
    replace_key(&settings, &other);
    let refused = refusal(&settings);
    assert!(
        refused.contains("does not fit the first certificate"),
        "{refused}"
    );
    assert!(refused.contains("openssl pkey -pubout"), "{refused}");
}

#[test]
fn huge_file_is_not_read_whole() {
    let (_directory, settings) = development();
    std::fs::File::create(&settings.key)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert!(refusal(&settings).contains("is larger than"));
}

#[test]
fn ca_file_without_certificate_is_refused() {
    let (_directory, settings) = development();
    assert!(said(client(Some(&settings.key))).contains("no certificate in `"));
}

#[test]
fn expiry_of_the_certificate_is_known() {
    let (_directory, settings) = development();
    let left = load(&settings).expires_at().unwrap() - chrono::Utc::now();
    assert!((800..825).contains(&left.num_days()), "{left}");
}
