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

enum { CONFIG, KEY, CERT, REPORT };

static const struct cli_option options[] = {
    [CONFIG] = { "config", "FILE", false,
                 "the openssl.cnf to look at (default: the one\n"
                 "                      that OpenSSL reads)" },
    [KEY] = { "key", "URI", false, "the key to try" },
    [CERT] = { "cert", "FILE", false, "its certificate (PEM or DER)" },
    [REPORT] = { "report", "FILE", false,
                 "write what the token is like, and what of AWS\n"
                 "                      CloudHSM it confirms or refutes "
                 "(JSON)" },
};

static const struct cli_command command = {
    .name = "doctor",
    .usage = "doctor [--config FILE] [--key URI] [--cert FILE]\n"
             "                      [--report FILE]",
    .about = "Find out why signing does not work.  Says \"ok\", \"warning\" or "
             "\"error\" of each\nstep, and what to do.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

/* A certificate that ends within so many seconds is worth a warning. */
#define SOON (30L * 24 * 60 * 60)

/* One line: what, the reason from OpenSSL's queue if any, and what to do. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *fix,
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
    if (level == DOCTOR_OK)
        reason[0] = '\0';
    (void)printf("%-8s %s%s%s%s%s\n", names[level], what,
                 reason[0] == '\0' ? "" : ": ", reason,
                 level == DOCTOR_OK ? "" : "; fix: ", fix);
    /* One can wait for a PIN or a token below. */
    (void)fflush(stdout);
    d->failed = d->failed || level == DOCTOR_ERROR;
}

void doctor_say_error(struct doctor *d, const struct p11_error *err,
                      const char *fix, const char *what)
{
    const struct p11_rv_info *info = p11_rv_info(err->rv);
    size_t len = strlen(err->text), tail = strlen(info->fix);

    if (!P11_RV_IS_OURS(err->rv))
        fix = info->fix;
    /* p11_error_call() says it already. */
    if (len > tail + 2 && strcmp(err->text + len - tail, fix) == 0)
        len -= tail + 2;
    doctor_say(d, DOCTOR_ERROR, fix, "%s: %.*s", what, (int)len, err->text);
}

static bool check_config(struct doctor *d)
{
    long line = -1;

    d->file = d->config != NULL ? OPENSSL_strdup(d->config)
                                : CONF_get1_default_config_file();
    d->conf = NCONF_new(NULL);
    if (d->file == NULL || d->conf == NULL) {
        doctor_say(d, DOCTOR_ERROR, "free memory", "configuration");
        return false;
    }
    if (NCONF_load(d->conf, d->file, &line) > 0)
        doctor_say(d, DOCTOR_OK, "", "configuration: %s can be read", d->file);
    else if (line > 0)
        doctor_say(d, DOCTOR_ERROR, "correct that line",
                   "configuration: %s, line %ld", d->file, line);
    else /* OpenSSL does without, so that only a file asked for is missed. */
        doctor_say(d, d->config != NULL ? DOCTOR_ERROR : DOCTOR_WARNING,
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
        doctor_say(d, DOCTOR_ERROR,
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
    doctor_say(d, status != 0 ? DOCTOR_OK : DOCTOR_ERROR,
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
        doctor_say(d, DOCTOR_ERROR, "activate \"default\" in openssl.cnf too",
                   "digests: no other provider has sha256");
    else
        doctor_say(d, DOCTOR_OK, "", "digests: sha256 from provider %s",
                   OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(md)));
    EVP_MD_free(md);
    return md != NULL;
}

static bool check_key(struct doctor *d)
{
    unsigned calls, trips;

    if (d->key_uri == NULL) {
        doctor_say(d, DOCTOR_WARNING, "give --key URI", "key: none was tried");
        return false;
    }
    d->loading = doctor_log_mark(d);
    d->key = signer_load_key(d->key_uri, UI_OpenSSL());
    if (d->key == NULL) {
        doctor_say(d, DOCTOR_ERROR, "correct what the reason names", "key %s",
                   d->key_uri);
        return false;
    }
    ERR_clear_error();
    doctor_say(d, DOCTOR_OK, "", "key: %s, %d bits",
               EVP_PKEY_get0_type_name(d->key), EVP_PKEY_get_bits(d->key));
    if (doctor_log_calls(d, d->loading, &calls, &trips))
        doctor_say(d, DOCTOR_OK, "",
                   "load: %u calls, of which %u are round trips to a network "
                   "HSM",
                   calls, trips);
    return true;
}

static bool check_certificate(struct doctor *d)
{
    X509 *cert = NULL;

    if (d->cert_file == NULL)
        return true;
    d->certs = sk_X509_new_null();
    if (d->certs == NULL || !certs_load(d->cert_file, d->certs)) {
        doctor_say(d, DOCTOR_ERROR, "give a file in PEM or DER",
                   "certificate %s", d->cert_file);
        sk_X509_pop_free(d->certs, X509_free);
        d->certs = NULL;
        return true;
    }
    cert = sk_X509_value(d->certs, 0);
    if (X509_check_private_key(cert, d->key))
        doctor_say(d, DOCTOR_OK, "", "certificate: is the key's");
    else
        doctor_say(d, DOCTOR_ERROR,
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
        doctor_say(d, DOCTOR_ERROR, "correct the clock, or wait",
                   "certificate: is not valid yet");
    else if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        doctor_say(d, DOCTOR_ERROR, "renew it", "certificate: has expired");
    else if (X509_cmp_time(X509_get0_notAfter(cert), &soon) < 0)
        doctor_say(d, DOCTOR_WARNING, "renew it",
                   "certificate: expires within 30 days");
    else
        doctor_say(d, DOCTOR_OK, "", "certificate: is valid now");
    return true;
}

/* Where the public half is from, or "" if nobody tells. */
static void find_origin(const struct doctor *d, char *buf, size_t size)
{
    unsigned calls, trips;

    doctor_log_tells(d, d->loading, "public half from ", buf, size);
    if (buf[0] == '\0' && doctor_log_calls(d, d->loading, &calls, &trips))
        (void)snprintf(buf, size, "%s",
                       d->certs != NULL ? "the certificate" : "two signatures");
}

/* After the certificate, which an EC key without public half learns from. */
static bool check_public_half(struct doctor *d)
{
    char from[256];

    d->has_public = i2d_PUBKEY(d->key, NULL) > 0;
    ERR_clear_error();
    find_origin(d, from, sizeof(from));
    if (d->has_public)
        doctor_say(d, DOCTOR_OK, "", "public half: known%s%s",
                   from[0] == '\0' ? "" : ", from ", from);
    else
        doctor_say(
            d, DOCTOR_WARNING,
            "put the public key or certificate on the token, or name its "
            "file in hsmsign-public-file",
            "public half: not known, so that certificate requests and "
            "TLS do not work");
    return true;
}

/* In the order of a signature's way; false ends it. */
static bool (*const checks[])(struct doctor *) = {
    check_config,           doctor_check_options,
    doctor_check_token,     check_provider,
    check_default_provider, check_key,
    check_certificate,      check_validity,
    check_public_half,      doctor_check_signatures,
    doctor_check_latency,
};

/* Before anything is done. */
static int check_report(const struct doctor *d)
{
    if (d->key_uri == NULL || !p11_uri_has_scheme(d->key_uri))
        return cli_usage("doctor", "--report needs --key with a pkcs11: URI");
    if (strcmp(d->report_file, "-") == 0)
        return cli_usage("doctor", "--report needs a file: standard output "
                                   "is taken");
    if (!doctor_report_is_offered())
        return cli_usage("doctor", "this hsmsign was built without jansson, "
                                   "which --report needs");
    return CLI_OK;
}

static void write_report(struct doctor *d)
{
    size_t n[DOCTOR_MEASURED + 1] = { 0 };

    for (size_t i = 0; i < d->facts.n_answers; i++)
        n[d->facts.answers[i].verdict]++;
    ERR_clear_error();
    if (doctor_report_write(d))
        doctor_say(d, DOCTOR_OK, "",
                   "report: %s; of what is assumed of AWS CloudHSM %zu are "
                   "confirmed, %zu refuted, %zu measured, %zu not probed",
                   d->report_file, n[DOCTOR_CONFIRMED], n[DOCTOR_REFUTED],
                   n[DOCTOR_MEASURED], n[DOCTOR_NOT_PROBED]);
    else
        doctor_say(d, DOCTOR_ERROR, "name a file that can be written",
                   "report %s", d->report_file);
}

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
    d.report_file = values.option[REPORT];
    if (d.cert_file != NULL && d.key_uri == NULL)
        return cli_usage("doctor", "--cert needs --key");
    status = d.report_file != NULL ? check_report(&d) : CLI_OK;
    if (status != CLI_OK)
        return status;
    /* Before libcrypto reads it, and for whoever looks for the name later.
     * There is one thread.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (d.config != NULL && setenv("OPENSSL_CONF", d.config, 1) != 0) {
        cli_raise_errno("setenv");
        return cli_fail("--config");
    }
    doctor_log_open(&d);
    doctor_probe_init(&d);
    for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        ERR_clear_error();
        if (!checks[i](&d))
            break;
    }
    if (d.report_file != NULL)
        write_report(&d);
    EVP_PKEY_free(d.key);
    sk_X509_pop_free(d.certs, X509_free);
    provider_unload();
    doctor_log_close(&d);
    NCONF_free(d.conf);
    OPENSSL_free(d.file);
    return d.failed ? CLI_FAILED : CLI_OK;
}
