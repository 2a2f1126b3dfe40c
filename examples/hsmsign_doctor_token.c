/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor, below OpenSSL: reads the options as the provider does and
 * goes to the token without it, so that each step can be told from the next.
 * The module is closed again before the provider's own turn comes.
 */
#include <stdio.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include "hsmsign_doctor.h"
#include "hsmsign_token.h"
#include "pkcs11/calls.h"
#include "provider/config.h"

static const char correct_option[] =
    "correct it in that section; hsmsign-provider(7) has all options";

bool doctor_check_options(struct doctor *d)
{
    const char *provider = "hsmsign";
    struct prov_config config;
    struct p11_error err;

    if (prov_config_section(d->conf, &provider) == NULL) {
        doctor_say(d, DOCTOR_WARNING,
                   "see hsmsign-provider(7), or use HSM_MODULE and HSM_PIN",
                   "options: %s activates no hsmsign", d->file);
        return true;
    }
    if (prov_config_check_file(d->file, provider, &err) != CKR_OK) {
        doctor_say_error(d, &err, correct_option, "options");
        return false;
    }
    if (!token_config(d->conf, &config)) {
        doctor_say(d, DOCTOR_ERROR, "free memory", "options");
        return false;
    }
    if (config.error.rv != CKR_OK)
        doctor_say_error(d, &config.error, correct_option, "options");
    else
        doctor_say(d, DOCTOR_OK, "", "options: all names and values known");
    prov_config_free(&config);
    return !d->failed;
}

/* Of what PKCS #11 pads with spaces, the length without them. */
static int unpadded(const CK_UTF8CHAR *text, int len)
{
    while (len > 0 && text[len - 1] == ' ')
        len--;
    return len;
}
#define TEXT(field) unpadded(field, sizeof(field)), (const char *)(field)

static void report_module(struct doctor *d, const struct p11_module *module)
{
    CK_INFO *info = &d->facts.info;
    CK_RV rv = P11_CALL(module->fl, C_GetInfo, info);

    if (rv != CKR_OK)
        doctor_say(d, DOCTOR_WARNING, p11_rv_info(rv)->fix,
                   "module: %s loads, but does not say what it is",
                   module->path);
    else
        doctor_say(d, DOCTOR_OK, "", "module: %s, PKCS #11 %d.%d, %.*s %d.%d",
                   module->path, info->cryptokiVersion.major,
                   info->cryptokiVersion.minor, TEXT(info->libraryDescription),
                   info->libraryVersion.major, info->libraryVersion.minor);
}

/* "LOGIN_REQUIRED TOKEN_INITIALIZED 0x800000" */
static void name_flags(CK_FLAGS flags, char *buf, size_t size)
{
    static const struct {
        CK_FLAGS flag;
        const char *name;
    } known[] = {
        { CKF_LOGIN_REQUIRED, "LOGIN_REQUIRED" },
        { CKF_USER_PIN_INITIALIZED, "USER_PIN_INITIALIZED" },
        { CKF_TOKEN_INITIALIZED, "TOKEN_INITIALIZED" },
        { CKF_PROTECTED_AUTHENTICATION_PATH, "PROTECTED_AUTHENTICATION_PATH" },
        { CKF_WRITE_PROTECTED, "WRITE_PROTECTED" },
    };
    size_t len = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if ((flags & known[i].flag) == 0)
            continue;
        len += (size_t)snprintf(buf + len, size - len, "%s ", known[i].name);
        flags &= ~known[i].flag;
    }
    if (flags != 0 || len == 0)
        (void)snprintf(buf + len, size - len, "0x%lx", flags);
    else
        buf[len - 1] = '\0';
}

static void report_tokens(struct doctor *d, const struct p11_module *module)
{
    const CK_FLAGS few = CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW;
    char flags[160];

    for (const struct p11_slot *s = module->slots; s != NULL; s = s->next) {
        d->facts.slots++;
        name_flags(s->token.flags, flags, sizeof(flags));
        if ((s->token.flags & CKF_USER_PIN_LOCKED) != 0)
            doctor_say(d, DOCTOR_ERROR, "have the security officer unlock it",
                       "slot 0x%lx: %s, its PIN is locked (%s)", s->id,
                       s->where, flags);
        else if ((s->token.flags & few) != 0)
            doctor_say(d, DOCTOR_WARNING,
                       "make sure of the PIN before the next try",
                       "slot 0x%lx: %s, few tries of its PIN are left (%s)",
                       s->id, s->where, flags);
        else
            doctor_say(d, DOCTOR_OK, "", "slot 0x%lx: %s, %.*s (%s)", s->id,
                       s->where, TEXT(s->token.model), flags);
    }
}

/* Without --key: any token will do to show that the module has one. */
static bool examine(struct doctor *d, struct p11_module *module,
                    const struct prov_config *config, const struct p11_uri *uri)
{
    struct p11_slot *slot;
    struct p11_error err;
    CK_RV rv = p11_slot_find(module, uri, &slot, &err);

    report_tokens(d, module);
    if (rv == P11_MANY_TOKENS && d->key_uri == NULL)
        return true;
    if (rv != CKR_OK) {
        doctor_say_error(d, &err,
                         "name one of the tokens that are there, or have the "
                         "module show the one that is missing",
                         "token");
        return false;
    }
    d->facts.token = slot->token;
    return d->key_uri == NULL ||
           doctor_check_object(d, slot, uri, &config->pin);
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
        doctor_say_error(d, &err, "correct the URI, as RFC 7512 has it", "key");
    } else if (p11_module_open(&wanted, &module, &err) != CKR_OK) {
        doctor_say_error(d, &err,
                         "set pkcs11-module-path or HSM_MODULE to the token's "
                         "own library, and install what that needs",
                         "module");
    } else {
        report_module(d, module);
        go_on = examine(d, module, &config, uri);
        p11_module_close(module);
    }
    p11_uri_free(uri);
    prov_config_free(&config);
    return go_on;
}
