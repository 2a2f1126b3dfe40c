/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor, below OpenSSL: reads the options as the provider does and
 * goes to the token without it, so that each step can be told from the next.
 * The module is closed again before the provider's own turn comes.
 */
#include <string.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include "hsmsign_doctor.h"
#include "hsmsign_token.h"
#include "pkcs11/calls.h"
#include "pkcs11/key.h"
#include "pkcs11/login.h"
#include "pkcs11/session.h"
#include "provider/config.h"

bool doctor_check_options(struct doctor *d)
{
    const char *provider = "hsmsign";
    struct prov_config config;
    struct p11_error err;

    if (prov_config_section(d->conf, &provider) == NULL) {
        doctor_report(d, DOCTOR_WARNING,
                      "see hsmsign-provider(7), or use HSM_MODULE and HSM_PIN",
                      "options: %s activates no hsmsign", d->file);
        return true;
    }
    if (prov_config_check_file(d->file, provider, &err) != CKR_OK) {
        doctor_report(d, DOCTOR_ERROR, "", "options: %s", err.text);
        return false;
    }
    if (!token_config(d->conf, &config)) {
        doctor_report(d, DOCTOR_ERROR, "free memory", "options");
        return false;
    }
    if (config.error.rv != CKR_OK)
        doctor_report(d, DOCTOR_ERROR, "", "options: %s", config.error.text);
    else
        doctor_report(d, DOCTOR_OK, "", "options: all names and values known");
    prov_config_free(&config);
    return !d->failed;
}

static void report_module(struct doctor *d, const struct p11_module *module)
{
    CK_INFO info = { 0 };

    if (P11_CALL(module->fl, C_GetInfo, &info) != CKR_OK)
        doctor_report(d, DOCTOR_WARNING, "",
                      "module: %s loads, but does not "
                      "say what it is",
                      module->path);
    else
        doctor_report(d, DOCTOR_OK, "",
                      "module: %s, PKCS #11 %d.%d, %.32s %d.%d", module->path,
                      info.cryptokiVersion.major, info.cryptokiVersion.minor,
                      (const char *)info.libraryDescription,
                      info.libraryVersion.major, info.libraryVersion.minor);
}

static void report_tokens(struct doctor *d, const struct p11_module *module)
{
    for (const struct p11_slot *s = module->slots; s != NULL; s = s->next) {
        CK_FLAGS flags = s->token.flags;

        if ((flags & CKF_USER_PIN_LOCKED) != 0)
            doctor_report(d, DOCTOR_ERROR,
                          "have the security officer unlock it",
                          "slot 0x%lx: %s, its PIN is locked", s->id, s->where);
        else if ((flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW)) !=
                 0)
            doctor_report(d, DOCTOR_WARNING,
                          "make sure of the PIN before the next try",
                          "slot 0x%lx: %s, few tries of its PIN are left",
                          s->id, s->where);
        else
            doctor_report(d, DOCTOR_OK, "", "slot 0x%lx: %s", s->id, s->where);
    }
}

static void report_key(struct doctor *d, const struct p11_key *key)
{
    if (p11_key_may_sign(key))
        doctor_report(d, DOCTOR_OK, "", "key object: %s", p11_key_where(key));
    else
        doctor_report(d, DOCTOR_ERROR, "use a key that was made for signing",
                      "key object: %s: CKA_SIGN is false", p11_key_where(key));
}

/* Without --key: any token will do to show that the module has one. */
static bool examine(struct doctor *d, struct p11_module *module,
                    const struct prov_config *config, const struct p11_uri *uri)
{
    struct p11_pin_request request = { .uri = &uri->pin,
                                       .config = &config->pin };
    struct p11_slot *slot;
    struct p11_key *key;
    struct p11_error err;
    CK_RV rv = p11_slot_find(module, uri, &slot, &err);

    report_tokens(d, module);
    if (rv == P11_MANY_TOKENS && d->key_uri == NULL)
        return true;
    if (rv != CKR_OK) {
        doctor_report(d, DOCTOR_ERROR, "", "token: %s", err.text);
        return false;
    }
    if (d->key_uri == NULL)
        return true;
    if (uri->pin.kind == P11_PIN_NONE && config->pin.kind == P11_PIN_NONE) {
        doctor_report(d, DOCTOR_WARNING,
                      "set pkcs11-module-token-pin or HSM_PIN_FILE",
                      "login: no PIN is configured, so that it is asked for");
        return true;
    }
    rv = p11_key_load(module, uri, &request, &key, &err);
    if (rv != CKR_OK) {
        doctor_report(d, DOCTOR_ERROR, "", "login and key: %s", err.text);
        return false;
    }
    doctor_report(d, DOCTOR_OK, "", "login: %s, PIN from %s", slot->where,
                  uri->pin.kind != P11_PIN_NONE ? "the URI"
                                                : config->pin.origin);
    report_key(d, key);
    p11_key_free(key);
    return true;
}

bool doctor_check_token(struct doctor *d)
{
    const char *text = d->key_uri != NULL ? d->key_uri : "pkcs11:";
    struct p11_module_config wanted;
    struct p11_module *module;
    struct p11_uri *uri = NULL;
    struct prov_config config;
    struct p11_error err;
    bool go_on = false;

    /* A file, or a key that another loader serves: nothing to do with us. */
    if (!p11_uri_has_scheme(text))
        return true;
    if (!token_config(d->conf, &config))
        return false;
    prov_config_module(&config, &wanted);
    if (p11_uri_parse(text, &uri, &err) != CKR_OK) {
        doctor_report(d, DOCTOR_ERROR, "", "key: %s", err.text);
    } else if (p11_module_open(&wanted, &module, &err) != CKR_OK) {
        doctor_report(d, DOCTOR_ERROR, "", "module: %s", err.text);
    } else {
        report_module(d, module);
        go_on = examine(d, module, &config, uri);
        p11_module_close(module);
    }
    p11_uri_free(uri);
    prov_config_free(&config);
    return go_on;
}
