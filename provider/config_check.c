/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for misspelt options: reads a configuration file a second time, in
 * the way libcrypto did, and compares the names in our section with those
 * that exist.
 */
#include <string.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include "config.h"

/* libcrypto allows "prefix.name", of which the prefix does not count. */
static const char *bare_name(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot != NULL ? dot + 1 : name;
}

static bool is_our_module(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strncmp(slash != NULL ? slash + 1 : path, "hsmsign", 7) == 0;
}

/* The way that libcrypto goes; that something is absent is no error. */
const char *prov_config_section(const CONF *conf, const char **provider)
{
    const char *at, *section = NULL;
    STACK_OF(CONF_VALUE) *providers = NULL;

    ERR_set_mark();
    at = NCONF_get_string(conf, NULL, "openssl_conf");
    if (at != NULL)
        at = NCONF_get_string(conf, at, "providers");
    if (at != NULL) {
        section = NCONF_get_string(conf, at, *provider);
        providers = NCONF_get_section(conf, at);
    }
    for (int i = 0; section == NULL && i < sk_CONF_VALUE_num(providers); i++) {
        const CONF_VALUE *value = sk_CONF_VALUE_value(providers, i);
        const char *module = NCONF_get_string(conf, value->value, "module");

        if (module != NULL && is_our_module(module)) {
            *provider = bare_name(value->name);
            section = value->value;
        }
    }
    ERR_pop_to_mark();
    return section;
}

static CK_RV check_name(const char *file, const char *section, const char *name,
                        struct p11_error *err)
{
    /* config(5): what libcrypto itself reads in a provider's section. */
    static const char *const libcryptos[] = { "activate", "identity", "module",
                                              "soft_load" };
    const char *known, *meant;

    for (size_t i = 0; i < sizeof(libcryptos) / sizeof(libcryptos[0]); i++) {
        if (strcmp(libcryptos[i], name) == 0)
            return CKR_OK;
    }
    for (size_t i = 0; (known = prov_config_name(i)) != NULL; i++) {
        if (strcmp(known, name) == 0)
            return CKR_OK;
    }
    meant = p11_nearest(name, strlen(name), prov_config_name);
    return p11_error_set(err, P11_CONFIG,
                         "%s, section [%s]: there is no option %s%s%s%s", file,
                         section, name, meant != NULL ? "; did you mean " : "",
                         meant != NULL ? meant : "", meant != NULL ? "?" : "");
}

CK_RV prov_config_check_file(const char *file, const char *provider_name,
                             struct p11_error *err)
{
    CONF *conf = NCONF_new(NULL);
    const char *section = NULL;
    STACK_OF(CONF_VALUE) *values = NULL;
    CK_RV rv = CKR_OK;

    ERR_set_mark();
    if (conf != NULL && NCONF_load(conf, file, NULL) > 0)
        section = prov_config_section(conf, &provider_name);
    if (section != NULL)
        values = NCONF_get_section(conf, section);
    for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
        CONF_VALUE *value = sk_CONF_VALUE_value(values, i);

        if (rv == CKR_OK)
            rv = check_name(file, section, bare_name(value->name), err);
        /* It may hold a PIN, and is freed in a moment. */
        OPENSSL_cleanse(value->value, strlen(value->value));
    }
    NCONF_free(conf);
    ERR_pop_to_mark();
    return rv;
}

CK_RV prov_config_check(struct prov_config *config, struct p11_error *err)
{
    char *file;
    CK_RV rv;

    if (config->error.rv != CKR_OK) {
        *err = config->error;
        return err->rv;
    }
    if (atomic_load(&config->names_seen))
        return CKR_OK;
    file = CONF_get1_default_config_file();
    if (file == NULL)
        return CKR_OK;
    rv = prov_config_check_file(file, config->provider_name, err);
    OPENSSL_free(file);
    if (rv == CKR_OK)
        atomic_store(&config->names_seen, true);
    return rv;
}
