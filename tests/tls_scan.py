"""The client port's TLS under the eyes of sslyze: on the port itself, and inside a CONNECT that tollgate opens.

Run by the Python that sslyze is installed in, with TOLLGATE_BINARY set to the program. Fails when anything is found
that docs/tls-scan.md does not say; prints what was found.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "clients"))

from gate import Gate  # noqa: E402

OUTDATED = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]
SUITES = {
    "tls_1_2": {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    },
    "tls_1_3": {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
}
CURVES = {"X25519", "secp256r1", "secp384r1"}


def scan(target, *arguments):
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        # Everything of the default, and what that leaves out.
        checks = ["--certinfo", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]
        checks += ["--reneg", "--resum", "--early_data", "--compression", "--fallback", "--heartbleed", "--robot"]
        checks += ["--openssl_ccs", "--elliptic_curves", "--ems"]
        line = [sys.executable, "-m", "sslyze", *checks, *arguments, "--json_out", report.name, target]
        subprocess.run(line, check=False, capture_output=True, timeout=300)
        [result] = json.load(report)["server_scan_results"]
    assert result["scan_status"] == "COMPLETED", result["connectivity_error_trace"]
    answers = {}
    for name, answer in result["scan_result"].items():
        if answer["status"] == "NOT_SCHEDULED":
            continue
        assert answer["status"] == "COMPLETED", (name, answer["error_trace"])
        answers[name] = answer["result"]
    return answers


def check(where, found, names, addresses):
    def suites(version):
        accepted = found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        return {suite["cipher_suite"]["name"] for suite in accepted}

    verdict = {
        "outdated protocols": [version for version in OUTDATED if suites(version)],
        "TLS 1.2": suites("tls_1_2"),
        "TLS 1.3": suites("tls_1_3"),
        "curves": {curve["name"] for curve in found["elliptic_curves"]["supported_curves"]},
        "client renegotiation": found["session_renegotiation"]["client_renegotiations_success_count"],
        "secure renegotiation": found["session_renegotiation"]["supports_secure_renegotiation"],
        "early data": found["tls_1_3_early_data"]["supports_early_data"],
        "compression": found["tls_compression"]["supports_compression"],
        "fallback SCSV": found["tls_fallback_scsv"]["supports_fallback_scsv"],
        "extended master secret": found["tls_extended_master_secret"]["supports_ems_extension"],
        "resumption by session id": found["session_resumption"]["session_id_resumption_result"],
        "heartbleed": found["heartbleed"]["is_vulnerable_to_heartbleed"],
        "CCS injection": found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"],
        "ROBOT": found["robot"]["robot_result"],
    }
    wanted = {
        "outdated protocols": [],
        "TLS 1.2": SUITES["tls_1_2"],
        "TLS 1.3": SUITES["tls_1_3"],
        "curves": CURVES,
        "client renegotiation": 0,
        "secure renegotiation": True,
        "early data": False,
        "compression": False,
        "fallback SCSV": True,
        "extended master secret": True,
        "resumption by session id": "FULLY_SUPPORTED",
        "heartbleed": False,
        "CCS injection": False,
        "ROBOT": "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
    }
    print(f"\n{where}")
    for name, value in verdict.items():
        print(f"  {name}: {', '.join(sorted(value)) if isinstance(value, set) else value}")
    assert verdict == wanted, {name: value for name, value in verdict.items() if value != wanted[name]}

    [deployment, *_] = found["certificate_info"]["certificate_deployments"]
    leaf = deployment["received_certificate_chain"][0]
    subject = leaf["subject_alternative_name"]
    trusted = [path["trust_store"]["name"] for path in deployment["path_validation_results"] if path["was_validation_successful"]]
    print(f"  certificate: {subject['dns_names']} {subject['ip_addresses']}, trusted by {trusted}")
    assert (subject["dns_names"], subject["ip_addresses"]) == (names, addresses), subject
    # By whoever was given our root, and by nobody else.
    assert trusted == ["Supplied CA file"], trusted
    assert deployment["received_chain_has_valid_order"] and not deployment["received_chain_contains_anchor_certificate"]
    assert not deployment["verified_chain_has_sha1_signature"]


def main():
    bedrock = "bedrock-runtime.us-east-1.amazonaws.com"
    with Gate(command="serve") as gate:
        root = ["--certinfo_ca_file", gate.ca]
        on_port = scan(f"127.0.0.1:{gate.port}", "--sni", "localhost", *root)
        check("On the client port", on_port, ["localhost"], ["127.0.0.1", "::1"])
        in_tunnel = scan(f"{bedrock}:443", "--https_tunnel", gate.http, *root)
        check(f"Inside CONNECT {bedrock}:443", in_tunnel, [bedrock], [])


if __name__ == "__main__":
    main()
