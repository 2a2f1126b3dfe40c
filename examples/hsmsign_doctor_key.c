/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor at the token itself: the login, the sessions, the private
 * key's object, and what the token can do with it.
 */
#include <stdio.h>
#include <string.h>
#include "hsmsign_doctor.h"
#include "pkcs11/calls.h"
#include "pkcs11/login.h"
#include "pkcs11/session.h"

/* Enough to say that threads will work; the others of the token need theirs. */
#define SESSIONS 16

struct named {
    CK_ULONG value;
    const char *name;
};

/* Room for any of the lists below. */
#define LIST_SIZE 400

static void append(char list[LIST_SIZE], const char *name)
{
    size_t len = strlen(list);

    (void)snprintf(list + len, LIST_SIZE - len, "%s%s", len > 0 ? ", " : "",
                   name);
}

static bool log_in(struct doctor *d, struct p11_slot *slot,
                   const struct p11_pin_source *uri_pin,
                   const struct p11_pin_source *pin)
{
    struct p11_pin_request request = { .uri = uri_pin, .config = pin };
    struct p11_session *session;
    struct p11_error err;
    CK_RV rv = p11_session_borrow(slot, &session, &err);
    double begin = doctor_clock();

    if (rv != CKR_OK) {
        doctor_say_error(d, &err, "close sessions of other programs",
                         "sessions");
        return false;
    }
    rv = p11_slot_login(slot, session, &request, 0, &err);
    p11_session_give_back(slot, session, rv);
    if (rv != CKR_OK) {
        doctor_say_error(d, &err, "correct the PIN's source", "login");
        return false;
    }
    if ((slot->token.flags & CKF_LOGIN_REQUIRED) == 0) {
        doctor_say(d, DOCTOR_OK, "", "login: %s wants none", slot->where);
        return true;
    }
    d->facts.login_ms = doctor_clock() - begin;
    doctor_say(d, DOCTOR_OK, "", "login: %s, PIN from %s, %.2f ms", slot->where,
               uri_pin->kind != P11_PIN_NONE ? "the URI" : pin->origin,
               d->facts.login_ms);
    return true;
}

static void report_sessions(struct doctor *d, const struct p11_slot *slot)
{
    CK_FUNCTION_LIST *fl = slot->module->fl;
    CK_SESSION_HANDLE sessions[SESSIONS];
    unsigned long wanted = slot->module->max_sessions;
    CK_RV rv = CKR_OK;
    unsigned long n = 0, most = wanted < SESSIONS ? wanted : SESSIONS;

    /* One is open: that of the login. */
    while (rv == CKR_OK && n + 1 < most) {
        rv = P11_CALL(fl, C_OpenSession, slot->id,
                      CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                      &sessions[n]);
        n += rv == CKR_OK;
    }
    for (unsigned long i = 0; i < n; i++)
        (void)P11_CALL(fl, C_CloseSession, sessions[i]);
    if (rv == CKR_OK)
        doctor_say(d, DOCTOR_OK, "",
                   "sessions: %lu at once; no more were tried, of "
                   "hsmsign-max-sessions = %lu",
                   n + 1, wanted);
    else
        doctor_say(d, DOCTOR_WARNING,
                   "lower hsmsign-max-sessions, or close sessions of other "
                   "programs",
                   "sessions: %lu at once and not one more, %s; "
                   "hsmsign-max-sessions is %lu",
                   n + 1, p11_rv_info(rv)->name, wanted);
}

static void report_attributes(struct doctor *d, const struct p11_key *key)
{
    static const struct named known[] = {
        { CKA_LABEL, "CKA_LABEL" },
        { CKA_ID, "CKA_ID" },
        { CKA_SIGN, "CKA_SIGN" },
        { CKA_MODULUS, "CKA_MODULUS" },
        { CKA_PUBLIC_EXPONENT, "CKA_PUBLIC_EXPONENT" },
        { CKA_EC_PARAMS, "CKA_EC_PARAMS" },
        { CKA_EC_POINT, "CKA_EC_POINT" },
        { CKA_PUBLIC_KEY_INFO, "CKA_PUBLIC_KEY_INFO" },
        { CKA_CHECK_VALUE, "CKA_CHECK_VALUE" },
        { CKA_PARAMETER_SET, "CKA_PARAMETER_SET" },
        { CKA_ALLOWED_MECHANISMS, "CKA_ALLOWED_MECHANISMS" },
    };
    char list[LIST_SIZE] = "";

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (p11_attrs_get(p11_key_attrs(key), known[i].value) != NULL)
            append(list, known[i].name);
    }
    doctor_say(d, DOCTOR_OK, "", "attributes: it tells %s",
               list[0] != '\0' ? list : "none");
    if (p11_key_may_sign(key))
        return;
    doctor_say(d, DOCTOR_ERROR, "use a key that was made for signing",
               "key object: CKA_SIGN is false");
}

/* What a token does not say, it does not promise. */
static void report_extractable(struct doctor *d, const struct p11_slot *slot,
                               CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    static const struct p11_attr_spec specs[] = {
        { CKA_SENSITIVE, sizeof(CK_BBOOL) },
        { CKA_EXTRACTABLE, sizeof(CK_BBOOL) },
        { CKA_NEVER_EXTRACTABLE, sizeof(CK_BBOOL) },
    };
    struct p11_attrs attrs = { 0 };
    CK_RV rv = p11_attrs_read(slot->module, session, key, specs,
                              sizeof(specs) / sizeof(specs[0]), &attrs);
    const char *past = "";

    if (p11_attrs_get(&attrs, CKA_NEVER_EXTRACTABLE) != NULL)
        past = p11_attrs_bool(&attrs, CKA_NEVER_EXTRACTABLE, false)
                   ? ", and never was"
                   : "; it was once, or was imported";
    if (rv != CKR_OK)
        doctor_say(d, DOCTOR_WARNING, p11_rv_info(rv)->fix,
                   "extractable: C_GetAttributeValue: %s",
                   p11_rv_info(rv)->name);
    else if (p11_attrs_bool(&attrs, CKA_EXTRACTABLE, true) ||
             !p11_attrs_bool(&attrs, CKA_SENSITIVE, false))
        doctor_say(d, DOCTOR_WARNING,
                   "make a new key with hsmsign keygen, which stays where it "
                   "is",
                   "extractable: the key can leave the token "
                   "(CKA_EXTRACTABLE, or not CKA_SENSITIVE)");
    else
        doctor_say(d, DOCTOR_OK, "", "extractable: no%s", past);
    p11_attrs_clear(&attrs);
}

static void report_mechanisms(struct doctor *d, const struct p11_slot *slot,
                              const struct p11_key *key)
{
    static const struct {
        CK_KEY_TYPE type;
        struct named mechanism;
    } wanted[] = {
        { CKK_RSA, { CKM_RSA_PKCS, "CKM_RSA_PKCS" } },
        { CKK_RSA, { CKM_RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS" } },
        { CKK_RSA, { CKM_RSA_X_509, "CKM_RSA_X_509" } },
        { CKK_EC, { CKM_ECDSA, "CKM_ECDSA" } },
        { CKK_EC_EDWARDS, { CKM_EDDSA, "CKM_EDDSA" } },
        { CKK_ML_DSA, { CKM_ML_DSA, "CKM_ML_DSA" } },
    };
    CK_ULONG n = DOCTOR_MECHANISMS_MAX;
    CK_MECHANISM_TYPE *all = d->facts.mechanisms;
    CK_RV rv =
        P11_CALL(slot->module->fl, C_GetMechanismList, slot->id, all, &n);
    char list[LIST_SIZE] = "";

    d->facts.n_mechanisms = rv == CKR_OK ? n : 0;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        for (size_t j = 0; j < d->facts.n_mechanisms; j++) {
            if (wanted[i].type == p11_key_type(key) &&
                all[j] == p11_key_mechanism(key, wanted[i].mechanism.value))
                append(list, wanted[i].mechanism.name);
        }
    }
    if (list[0] != '\0')
        doctor_say(d, DOCTOR_OK, "", "mechanisms: %s, among %zu", list,
                   d->facts.n_mechanisms);
    else
        doctor_say(d, DOCTOR_WARNING,
                   "use a key of another type, or name the token's own numbers "
                   "in hsmsign-vendor-numbers",
                   "mechanisms: none of the token's %zu signs with such a key",
                   d->facts.n_mechanisms);
}

static void report_key(struct doctor *d, struct p11_slot *slot,
                       struct p11_key *key, const struct doctor_seen *before)
{
    struct p11_session *session;
    CK_OBJECT_HANDLE handle;
    unsigned long epoch;
    struct p11_error err;

    doctor_say(d, DOCTOR_OK, "", "key object: %s, found, and no other matches",
               p11_key_where(key));
    report_attributes(d, key);
    report_mechanisms(d, slot, key);
    if (p11_session_borrow(slot, &session, &err) != CKR_OK) {
        doctor_say_error(d, &err, "close sessions of other programs",
                         "sessions");
        return;
    }
    (void)p11_key_handle(key, &handle, &epoch);
    report_extractable(d, slot, session->handle, handle);
    p11_session_give_back(slot, session, CKR_OK);
    /* It forks, for which nothing may be lent. */
    if (d->report_file != NULL)
        doctor_probe(d, slot, handle, before);
}

bool doctor_check_object(struct doctor *d, struct p11_slot *slot,
                         const struct p11_uri *uri,
                         const struct p11_pin_source *pin)
{
    struct p11_pin_request request = { .uri = &uri->pin, .config = pin };
    struct doctor_seen before = { 0 };
    struct p11_key *key;
    struct p11_error err;

    if (uri->pin.kind == P11_PIN_NONE && pin->kind == P11_PIN_NONE) {
        doctor_say(d, DOCTOR_WARNING,
                   "set pkcs11-module-token-pin or HSM_PIN_FILE",
                   "login: no PIN is configured, so that it is asked for");
        return true;
    }
    if (d->report_file != NULL)
        doctor_probe_before_login(slot, &before);
    if (!log_in(d, slot, &uri->pin, pin))
        return false;
    report_sessions(d, slot);
    if (p11_key_load(slot->module, uri, &request, &key, &err) != CKR_OK) {
        doctor_say_error(d, &err, "hsmsign keys lists what there is", "key");
        return false;
    }
    report_key(d, slot, key, &before);
    p11_key_free(key);
    return !d->failed;
}
