"""Certificates that sign PKI tokens, made by openssl."""

import subprocess

RSA = ("rsa:2048",)
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Authority:
    """A certificate authority with signing certificates, all by openssl."""

    def __init__(self, folder, name):
        self.folder, self.certificate = folder, folder / "ca.pem"
        folder.mkdir()
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
            *("-subj", f"/CN={name}", "-keyout", folder / "ca.key", "-out", self.certificate),
        )

    def issue(self, name, *algorithm, serial):
        request, key, certificate = (
            self.folder / f"{name}.{kind}" for kind in ("csr", "key", "pem")
        )
        openssl(
            *("req", "-new", "-nodes", "-newkey", *algorithm, "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        openssl(
            *("x509", "-req", "-days", "30", "-set_serial", str(serial), "-in", request),
            *("-CA", self.certificate, "-CAkey", self.folder / "ca.key", "-out", certificate),
        )
        return Pair(key, certificate, self.certificate)


class Pair:
    def __init__(self, key, certificate, authority):
        self.key, self.certificate, self.authority = key, certificate, authority

    def signing(self):
        return str(self.certificate), str(self.key)

    def verifying(self):
        return str(self.certificate), str(self.authority)


def openssl(*arguments, **options):
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
