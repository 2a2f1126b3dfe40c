/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options: from the section of openssl.cnf that activates the provider,
 * and where that is silent from the environment.
 *
 * Options whose meaning pkcs11-provider has too bear its names and values
 * ("pkcs11-..."); ours alone begin with "hsmsign-".  A bad value never fails
 * the provider's init, since the provider would vanish with an empty error
 * queue; it is kept and raised at the first use of a pkcs11: URI.
 */
#ifndef HSMSIGN_CONFIG_H
#define HSMSIGN_CONFIG_H

#include <stdbool.h>
#include <openssl/conf.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include "audit.h"
#include "pkcs11/module.h"
#include "pkcs11/object.h"
#include "pkcs11/pin.h"
#include "pkcs11/rv.h"

enum prov_verify { PROV_VERIFY_OFF, PROV_VERIFY_SAMPLE_ONLY, PROV_VERIFY_ON };

struct prov_config {
    char *module_path;
    char *init_args;
    struct p11_pin_source pin;
    unsigned quirks;
    struct p11_vendor vendor; /* the token's own numbers */
    unsigned long max_idle, max_sessions;
    unsigned long deadline; /* ms */
    int load_early;
    int assume_fips;
    int login;  /* enum p11_login_when, for public objects */
    int verify; /* enum prov_verify */
    struct prov_audit audit;
    bool guarded;           /* verify or audit is on */
    char *spki_sha256;      /* of the keys that may be loaded; NULL: any */
    char *public_file;      /* PEM: certificates and public keys */
    char *provider_name;    /* under which openssl.cnf activated us */
    atomic_bool names_seen; /* the file was searched for misspelt names */
    struct p11_error error; /* the first bad value; rv CKR_OK for none */
};

/*
 * Read the options.  A bad value goes to config->error.  Returns 1, or 0 when
 * memory is short.  *config must be all zero.
 */
int prov_config_load(struct prov_config *config, const OSSL_CORE_HANDLE *handle,
                     OSSL_FUNC_core_get_params_fn *get_params);
void prov_config_free(struct prov_config *config);

/*
 * What is wrong with the options, if anything: a bad value, or a name in
 * OpenSSL's default configuration file that no option has (the core tells a
 * provider only the values that it asks for, so that a misspelt name cannot
 * be seen otherwise).  Returns CKR_OK or P11_CONFIG.
 */
CK_RV prov_config_check(struct prov_config *config, struct p11_error *err);

/*
 * Check the names of the options in one configuration file, in the section
 * that activates the provider of that name.  A file that does not exist or
 * cannot be parsed has no wrong names.  Returns CKR_OK or P11_CONFIG.
 */
CK_RV prov_config_check_file(const char *file, const char *provider_name,
                             struct p11_error *err);

/*
 * The section of a configuration that activates hsmsign, NULL if none does:
 * of the provider called *provider, or if that one is not there, of the first
 * whose module's file name begins with "hsmsign", and then *provider is its
 * name.
 */
const char *prov_config_section(const CONF *conf, const char **provider);

/* The nth option's name, NULL after the last. */
const char *prov_config_name(size_t n);

/* What pkcs11/module wants; points into config. */
void prov_config_module(const struct prov_config *config,
                        struct p11_module_config *module);

#endif
