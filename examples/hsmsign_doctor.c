/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor: goes the way that a signature goes, step by step, and says
 * of each step in one line whether it works and, if not, what to do.
 *
 * A check is a row in a table and a function over struct doctor.  It prints
 * its own lines; what it finds (key, certificate) it leaves there for the
 * rows below.  When a row that the others build on fails, they are left out:
 * their errors would be the same one again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include "hsmsign_tool.h"
#include "hsmsign_doctor.h"

enum { CONFIG, KEY, CERT };

static const struct cli_option options[] = {
    [CONFIG] = { "config", "FILE", false,
                 "the openssl.cnf to look at (default: the one\n"
                 "                      that OpenSSL reads)" },
    [KEY] = { "key", "URI", false, "the key to try" },
    [CERT] = { "cert", "FILE", false, "its certificate (PEM or DER)" },
};

static const struct cli_command command = {
    .name = "doctor",
    .usage = "doctor [--config FILE] [--key URI] [--cert FILE]",
    .about = "Find out why signing does not work.  Says \"ok\", \"warning\" or "
             "\"error\" of each\nstep, and what to do.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

/* What is signed to see whether it works. */
static const unsigned char text[] = "hsmsign doctor";

/* A certificate that ends within so many seconds is worth a warning. */
#define SOON (30L * 24 * 60 * 60)

/* One line: what, the reason from OpenSSL's queue if any, and what to do. */
void doctor_report(struct doctor *d, enum doctor_level level, const char *fix,
                   const char *format, ...)
{
    static const char *const names[] = { "ok", "warning", "error" };
    char what[1024], reason[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    cli_clean(what);
    (void)cli_reason(reason, sizeof(reason));
    (void)printf("%-8s %s%s%s%s%s\n", names[level], what,
                 level == DOCTOR_OK || reason[0] == '\0' ? "" : ": ",
                 level == DOCTOR_OK ? "" : reason,
                 fix[0] == '\0' ? "" : "; fix: ", fix);
    /* One can wait for a PIN or a token below. */
    (void)fflush(stdout);
    d->failed = d->failed || level == DOCTOR_ERROR;
}

static bool check_config(struct doctor *d)
{
    long line = -1;

    d->file = d->config != NULL ? OPENSSL_strdup(d->config)
                                : CONF_get1_default_config_file();
    d->conf = NCONF_new(NULL);
    if (d->file == NULL || d->conf == NULL) {
        doctor_report(d, DOCTOR_ERROR, "free memory", "configuration");
        return false;
    }
    if (NCONF_load(d->conf, d->file, &line) > 0)
        doctor_report(d, DOCTOR_OK, "", "configuration: %s can be read",
                      d->file);
    else if (line > 0)
        doctor_report(d, DOCTOR_ERROR, "correct that line",
                      "configuration: %s, line %ld", d->file, line);
    else /* OpenSSL does without, so that only a file asked for is missed. */
        doctor_report(d, d->config != NULL ? DOCTOR_ERROR : DOCTOR_WARNING,
                      "set OPENSSL_CONF, or give --config, to a file that "
                      "exists",
                      "configuration: %s", d->file);
    return true;
}

static bool check_provider(struct doctor *d)
{
    const char *name = NULL, *version = "unknown";
    OSSL_STORE_LOADER *loader = NULL;
    const OSSL_PROVIDER *provider = NULL;
    unsigned int status = 0;
    bool builtin = false;
    OSSL_PARAM params[4];

    if (provider_load(&builtin))
        loader = OSSL_STORE_LOADER_fetch(NULL, "pkcs11", NULL);
    if (loader == NULL) {
        doctor_report(
            d, DOCTOR_ERROR,
            "activate hsmsign in openssl.cnf as in hsmsign-provider(7)",
            "provider: none serves pkcs11:");
        return false;
    }
    provider = OSSL_STORE_LOADER_get0_provider(loader);
    params[0] =
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, (char **)&name, 0);
    params[1] = OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION,
                                              (char **)&version, 0);
    params[2] = OSSL_PARAM_construct_uint(OSSL_PROV_PARAM_STATUS, &status);
    params[3] = OSSL_PARAM_construct_end();
    if (!OSSL_PROVIDER_get_params(provider, params) || name == NULL)
        name = OSSL_PROVIDER_get0_name(provider);
    doctor_report(
        d, status != 0 ? DOCTOR_OK : DOCTOR_ERROR,
        status != 0 ? "" : "see the provider's log (HSMSIGN_LOG=stderr)",
        "provider: %s, version %s, %s, %s", name, version,
        status != 0 ? "running" : "not running",
        builtin ? "built in, as openssl.cnf activates none for pkcs11:"
                : "activated by openssl.cnf");
    OSSL_STORE_LOADER_free(loader);
    return true;
}

static bool check_default_provider(struct doctor *d)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", "provider!=hsmsign");

    if (md == NULL)
        doctor_report(d, DOCTOR_ERROR,
                      "activate \"default\" in openssl.cnf too",
                      "digests: no other provider has sha256");
    else
        doctor_report(d, DOCTOR_OK, "", "digests: sha256 from provider %s",
                      OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(md)));
    EVP_MD_free(md);
    return md != NULL;
}

static bool check_key(struct doctor *d)
{
    if (d->key_uri == NULL) {
        doctor_report(d, DOCTOR_WARNING, "give --key URI",
                      "key: none was tried");
        return false;
    }
    d->key = signer_load_key(d->key_uri, UI_OpenSSL());
    if (d->key == NULL) {
        doctor_report(d, DOCTOR_ERROR, "correct what the reason names",
                      "key %s", d->key_uri);
        return false;
    }
    ERR_clear_error();
    doctor_report(d, DOCTOR_OK, "", "key: %s, %d bits",
                  EVP_PKEY_get0_type_name(d->key), EVP_PKEY_get_bits(d->key));
    return true;
}

static bool check_certificate(struct doctor *d)
{
    X509 *cert = NULL;

    if (d->cert_file == NULL)
        return true;
    d->certs = sk_X509_new_null();
    if (d->certs == NULL || !certs_load(d->cert_file, d->certs)) {
        doctor_report(d, DOCTOR_ERROR, "give a file in PEM or DER",
                      "certificate %s", d->cert_file);
        sk_X509_pop_free(d->certs, X509_free);
        d->certs = NULL;
        return true;
    }
    cert = sk_X509_value(d->certs, 0);
    if (X509_check_private_key(cert, d->key))
        doctor_report(d, DOCTOR_OK, "", "certificate: is the key's");
    else
        doctor_report(d, DOCTOR_ERROR,
                      "give the certificate that was made for this key",
                      "certificate %s: is not the key's", d->cert_file);
    return true;
}

static bool check_validity(struct doctor *d)
{
    X509 *cert = NULL;
    time_t soon = time(NULL) + SOON;

    if (d->certs == NULL)
        return true;
    cert = sk_X509_value(d->certs, 0);
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        doctor_report(d, DOCTOR_ERROR, "correct the clock, or wait",
                      "certificate: is not valid yet");
    else if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        doctor_report(d, DOCTOR_ERROR, "renew it", "certificate: has expired");
    else if (X509_cmp_time(X509_get0_notAfter(cert), &soon) < 0)
        doctor_report(d, DOCTOR_WARNING, "renew it",
                      "certificate: expires within 30 days");
    else
        doctor_report(d, DOCTOR_OK, "", "certificate: is valid now");
    return true;
}

/* After the certificate, which an EC key without public half learns from. */
static bool check_public_half(struct doctor *d)
{
    d->has_public = i2d_PUBKEY(d->key, NULL) > 0;
    ERR_clear_error();
    if (d->has_public)
        doctor_report(d, DOCTOR_OK, "", "public half: known");
    else
        doctor_report(
            d, DOCTOR_WARNING,
            "put the public key or certificate on the token, or name its "
            "file in hsmsign-public-file",
            "public half: not known, so that certificate requests and "
            "TLS do not work");
    return true;
}

static bool make_signature(struct doctor *d, const char *md, unsigned char *sig,
                           size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool made =
        ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, NULL, md, NULL, NULL, d->key, NULL) > 0 &&
        EVP_DigestSign(ctx, sig, len, text, sizeof(text)) > 0;

    EVP_MD_CTX_free(ctx);
    return made;
}

static bool verify_signature(EVP_PKEY *verifier, const char *md,
                             const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool verified = ctx != NULL &&
                    EVP_DigestVerifyInit_ex(ctx, NULL, md, NULL, NULL, verifier,
                                            NULL) > 0 &&
                    EVP_DigestVerify(ctx, sig, len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(ctx);
    return verified;
}

static bool check_signature(struct doctor *d)
{
    const char *md = signer_hashes_itself(d->key) ? NULL : "SHA256";
    size_t len = (size_t)EVP_PKEY_get_size(d->key);
    unsigned char *sig = OPENSSL_malloc(len);
    EVP_PKEY *verifier = d->key;

    if (d->certs != NULL)
        verifier = X509_get0_pubkey(sk_X509_value(d->certs, 0));
    if (sig == NULL || !make_signature(d, md, sig, &len))
        doctor_report(d, DOCTOR_ERROR, "correct what the reason names",
                      "signature: cannot be made");
    else if (verifier == d->key && !d->has_public)
        doctor_report(d, DOCTOR_OK, "",
                      "signature: made; give --cert to see it verified");
    else if (verify_signature(verifier, md, sig, len))
        doctor_report(d, DOCTOR_OK, "", "signature: made and verified");
    else
        doctor_report(d, DOCTOR_ERROR,
                      "give the certificate that was made for this key",
                      "signature: made, but does not verify");
    OPENSSL_free(sig);
    return !d->failed;
}

/* In the order of a signature's way; false ends it. */
static bool (*const checks[])(struct doctor *) = {
    check_config,      doctor_check_options,   doctor_check_token,
    check_provider,    check_default_provider, check_key,
    check_certificate, check_validity,         check_public_half,
    check_signature,
};

int cmd_doctor(int argc, char **argv)
{
    struct doctor d = { 0 };
    struct cli_values values;
    int status;
    size_t i;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    d.config = values.option[CONFIG];
    d.key_uri = values.option[KEY];
    d.cert_file = values.option[CERT];
    if (d.cert_file != NULL && d.key_uri == NULL)
        return cli_usage("doctor", "--cert needs --key");
    /* Before libcrypto reads it, and for whoever looks for the name later.
     * There is one thread.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (d.config != NULL && setenv("OPENSSL_CONF", d.config, 1) != 0) {
        cli_raise_errno("setenv");
        return cli_fail("--config");
    }
    for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        ERR_clear_error();
        if (!checks[i](&d))
            break;
    }
    EVP_PKEY_free(d.key);
    sk_X509_pop_free(d.certs, X509_free);
    provider_unload();
    NCONF_free(d.conf);
    OPENSSL_free(d.file);
    return d.failed ? CLI_FAILED : CLI_OK;
}
