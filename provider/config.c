/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <openssl/crypto.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include "config.h"
#include "pkcs11/log.h"
#include "pkcs11/quirks.h"
#include "pkcs11/uri.h"

#define DEFAULT_MODULE       "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so"
#define DEFAULT_MAX_SESSIONS 1024
#define DEFAULT_DEADLINE     3000 /* ms */

struct option {
    const char *name;
    /* NULL: accepted for pkcs11-provider's sake, without meaning here. */
    CK_RV(*set)
    (struct prov_config *config, const struct option *option, const char *value,
     struct p11_error *err);
    size_t offset;             /* of the field that set fills */
    const char *expected;      /* for messages */
    const struct choice *from; /* set_choice: ends with word NULL */
    unsigned long min;         /* set_number */
};

struct choice {
    const char *word;
    int value;
};

/* As in pkcs11-provider. */
static const struct choice flags[] = {
    { "true", true }, { "yes", true },    { "on", true },
    { "1", true },    { "false", false }, { "no", false },
    { "off", false }, { "0", false },     { NULL, false },
};

static const struct choice loading[] = { { "early", true }, { NULL, false } };

/* For public keys and certificates; private keys always need the login. */
static const struct choice logging_in[] = {
    { "auto", P11_LOGIN_IF_NEEDED },
    { "always", P11_LOGIN_ALWAYS },
    { "never", P11_LOGIN_NEVER },
    { NULL, 0 },
};

static const struct choice verifying[] = {
    { "off", PROV_VERIFY_OFF },
    { "sample", PROV_VERIFY_SAMPLE_ONLY },
    { "on", PROV_VERIFY_ON },
    { NULL, 0 },
};

static CK_RV bad_value(const struct option *option, const char *value,
                       struct p11_error *err)
{
    return p11_error_set(err, P11_CONFIG, "%s = %s: expected %s", option->name,
                         value, option->expected);
}

static CK_RV set_text(struct prov_config *config, const struct option *option,
                      const char *value, struct p11_error *err)
{
    char **field = (char **)((char *)config + option->offset);

    if (*value == '\0')
        return p11_error_set(err, P11_CONFIG, "%s is empty", option->name);
    *field = OPENSSL_strdup(value);
    return *field != NULL ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV set_spki(struct prov_config *config, const struct option *option,
                      const char *value, struct p11_error *err)
{
    return p11_spki_valid(value) ? set_text(config, option, value, err)
                                 : bad_value(option, value, err);
}

static CK_RV set_audit(struct prov_config *config, const struct option *option,
                       const char *value, struct p11_error *err)
{
    return prov_audit_parse(value, &config->audit)
               ? CKR_OK
               : bad_value(option, value, err);
}

static CK_RV set_pin(struct prov_config *config, const struct option *option,
                     const char *value, struct p11_error *err)
{
    return p11_pin_source_parse(value, option->name, &config->pin, err);
}

static CK_RV set_number(struct prov_config *config, const struct option *option,
                        const char *value, struct p11_error *err)
{
    unsigned long *field = (unsigned long *)((char *)config + option->offset);
    unsigned long number;
    char *end;

    errno = 0;
    number = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 ||
        number < option->min || number > LONG_MAX)
        return bad_value(option, value, err);
    *field = number;
    return CKR_OK;
}

static CK_RV set_choice(struct prov_config *config, const struct option *option,
                        const char *value, struct p11_error *err)
{
    for (const struct choice *from = option->from; from->word != NULL; from++) {
        if (strcasecmp(from->word, value) != 0)
            continue;
        *(int *)((char *)config + option->offset) = from->value;
        return CKR_OK;
    }
    return bad_value(option, value, err);
}

static const char separators[] = " ,\t";

static CK_RV set_quirks(struct prov_config *config, const struct option *option,
                        const char *value, struct p11_error *err)
{
    for (const char *word = value + strspn(value, separators); *word != '\0';
         word += strspn(word, separators)) {
        size_t len = strcspn(word, separators);
        unsigned bit;

        if (!p11_quirk_by_name(word, len, &bit))
            return bad_value(option, value, err);
        config->quirks |= bit;
        word += len;
    }
    return CKR_OK;
}

static CK_RV set_vendor(struct prov_config *config, const struct option *option,
                        const char *value, struct p11_error *err)
{
    for (const char *word = value + strspn(value, separators); *word != '\0';
         word += strspn(word, separators)) {
        size_t len = strcspn(word, separators);

        if (!p11_vendor_set(&config->vendor, word, len))
            return bad_value(option, value, err);
        word += len;
    }
    return CKR_OK;
}

#define FIELD(name) offsetof(struct prov_config, name)

static const struct option options[] = {
    { "hsmsign-log", NULL, 0, NULL, NULL, 0 }, /* first: see open_log() */
    { "pkcs11-module-path", set_text, FIELD(module_path), NULL, NULL, 0 },
    { "pkcs11-module-init-args", set_text, FIELD(init_args), NULL, NULL, 0 },
    { "pkcs11-module-token-pin", set_pin, 0, NULL, NULL, 0 },
    { "pkcs11-module-cache-sessions", set_number, FIELD(max_idle), "a number",
      NULL, 0 },
    { "pkcs11-module-login-behavior", set_choice, FIELD(login),
      "auto, always or never", logging_in, 0 },
    { "pkcs11-module-load-behavior", set_choice, FIELD(load_early), "early",
      loading, 0 },
    { "pkcs11-module-quirks", set_quirks, 0,
      "no-deinit, no-operation-state, no-session-callbacks or "
      "no-allowed-mechanisms",
      NULL, 0 },
    { "pkcs11-module-assume-fips", set_choice, FIELD(assume_fips),
      "true or false", flags, 0 },
    { "pkcs11-module-allow-export", NULL, 0, NULL, NULL, 0 },
    { "pkcs11-module-block-operations", NULL, 0, NULL, NULL, 0 },
    { "pkcs11-module-cache-keys", NULL, 0, NULL, NULL, 0 },
    { "pkcs11-module-cache-pins", NULL, 0, NULL, NULL, 0 },
    { "pkcs11-module-encode-provider-uri-to-pem", NULL, 0, NULL, NULL, 0 },
    { "hsmsign-max-sessions", set_number, FIELD(max_sessions),
      "a number from 1", NULL, 1 },
    { "hsmsign-deadline", set_number, FIELD(deadline),
      "a number of milliseconds", NULL, 0 },
    { "hsmsign-verify", set_choice, FIELD(verify), "off, sample or on",
      verifying, 0 },
    { "hsmsign-spki-sha256", set_spki, FIELD(spki_sha256),
      "64 hexadecimal digits, or more of such with commas", NULL, 0 },
    { "hsmsign-audit", set_audit, 0,
      "file:/PATH or syslog, then optionally \",refuse\" or \",warn\"", NULL,
      0 },
    { "hsmsign-public-file", set_text, FIELD(public_file), NULL, NULL, 0 },
    { "hsmsign-vendor-numbers", set_vendor, 0,
      "CKM_EDDSA:0xNUMBER and the like, each once; hsmsign-provider(7) has the "
      "names",
      NULL, 0 },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

const char *prov_config_name(size_t n)
{
    return n < OPTIONS ? options[n].name : NULL;
}

/* The first error stays: later ones are often its consequences. */
static int keep_error(struct prov_config *config, CK_RV rv,
                      const struct p11_error *err)
{
    if (rv == CKR_HOST_MEMORY)
        return 0;
    if (rv != CKR_OK && config->error.rv == CKR_OK)
        config->error = *err;
    return 1;
}

/* What the core has of that name, NULL for nothing. */
static const char *get_value(const OSSL_CORE_HANDLE *handle,
                             OSSL_FUNC_core_get_params_fn *get_params,
                             const char *name)
{
    char *value = NULL;
    OSSL_PARAM params[2] = { OSSL_PARAM_utf8_ptr(name, &value, 0),
                             OSSL_PARAM_END };

    return get_params(handle, params) ? value : NULL;
}

static CK_RV apply_option(struct prov_config *config,
                          const struct option *option, const char *value,
                          struct p11_error *err)
{
    if (value == NULL)
        return CKR_OK;
    if (option->set != NULL)
        return option->set(config, option, value, err);
    p11_log(P11_LOG_INFO, "%s has no meaning here: ignored", option->name);
    return CKR_OK;
}

/* Set-user-ID programs are not steered by their caller's environment. */
static CK_RV apply_environment(struct prov_config *config,
                               struct p11_error *err)
{
    const char *module = secure_getenv("HSM_MODULE");
    const char *pin = secure_getenv("HSM_PIN");
    const char *pin_file = secure_getenv("HSM_PIN_FILE");

    if (config->module_path == NULL) {
        config->module_path = OPENSSL_strdup(
            module != NULL && *module != '\0' ? module : DEFAULT_MODULE);
        if (config->module_path == NULL)
            return CKR_HOST_MEMORY;
    }
    if (config->pin.kind != P11_PIN_NONE)
        return CKR_OK;
    if (pin != NULL && *pin != '\0')
        return p11_pin_source_set(P11_PIN_LITERAL, pin, "HSM_PIN", &config->pin,
                                  err);
    if (pin_file != NULL && *pin_file != '\0')
        return p11_pin_source_set(P11_PIN_FILE, pin_file, "HSM_PIN_FILE",
                                  &config->pin, err);
    return CKR_OK;
}

/* The log comes first, so that it shows what the other options say. */
static CK_RV open_log(const char *option, struct p11_error *err)
{
    const char *log = secure_getenv("HSMSIGN_LOG");

    if (log == NULL || *log == '\0')
        log = option;
    return log != NULL ? p11_log_open(log, err) : CKR_OK;
}

int prov_config_load(struct prov_config *config, const OSSL_CORE_HANDLE *handle,
                     OSSL_FUNC_core_get_params_fn *get_params)
{
    const char *value =
        get_value(handle, get_params, OSSL_PROV_PARAM_CORE_PROV_NAME);
    struct p11_error err;
    int ok;

    config->max_sessions = DEFAULT_MAX_SESSIONS;
    config->max_idle = ~0UL;
    config->deadline = DEFAULT_DEADLINE;
    config->provider_name = OPENSSL_strdup(value != NULL ? value : "hsmsign");
    ok = config->provider_name != NULL;
    for (size_t i = 0; ok && i < OPTIONS; i++) {
        value = get_value(handle, get_params, options[i].name);
        ok = keep_error(config,
                        i == 0 ? open_log(value, &err)
                               : apply_option(config, &options[i], value, &err),
                        &err);
    }
    config->guarded = config->verify != PROV_VERIFY_OFF || config->audit.on;
    return ok && keep_error(config, apply_environment(config, &err), &err);
}

void prov_config_free(struct prov_config *config)
{
    p11_pin_source_clear(&config->pin);
    OPENSSL_free(config->module_path);
    OPENSSL_free(config->init_args);
    prov_audit_clear(&config->audit);
    OPENSSL_free(config->spki_sha256);
    OPENSSL_free(config->public_file);
    OPENSSL_free(config->provider_name);
}

void prov_config_module(const struct prov_config *config,
                        struct p11_module_config *module)
{
    module->path = config->module_path;
    module->init_args = config->init_args;
    module->quirks = config->quirks;
    module->vendor = config->vendor;
    module->max_sessions = config->max_sessions;
    module->max_idle = config->max_idle;
    /* A day is as good as for ever, and fits any arithmetic. */
    module->deadline =
        config->deadline < 86400000 ? config->deadline : 86400000;
}
