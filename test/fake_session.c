/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token's sessions and login.  A login belongs to the slot, not to a
 * session, and in the standard profile ends with the last session; with it the
 * handles of private objects become void (PKCS #11 v2.40, 5.6).
 */
#include <string.h>
#include "fake_internal.h"

struct fake_session *fake_session(struct fake *fake, CK_SESSION_HANDLE handle,
                                  CK_RV *rv)
{
    size_t i = 0;

    *rv = fake->lost_session;
    if (handle == CK_INVALID_HANDLE)
        return NULL;
    for (i = 0; i < FAKE_MAX_SESSIONS; i++) {
        if (fake->sessions[i].handle != handle)
            continue;
        *rv = CKR_OK;
        if (fake->sessions[i].busy) {
            fake->violations++;
            *rv = CKR_OPERATION_ACTIVE;
        }
        return *rv == CKR_OK ? &fake->sessions[i] : NULL;
    }
    return NULL;
}

void fake_renew_handles(struct fake *fake, const size_t *slot,
                        bool private_only)
{
    size_t i = 0;

    for (i = 0; i < FAKE_MAX_OBJECTS; i++) {
        struct fake_object *object = &fake->objects[i];

        if (object->present && (slot == NULL || object->slot == *slot) &&
            (!private_only || fake_needs_login(fake, object)))
            object->handle = ++fake->last_handle;
    }
}

/* The end of a login: private objects' handles are void (v2.40, 5.6). */
static void log_out(struct fake *fake, size_t slot)
{
    fake->slots[slot].logged_in = false;
    fake_renew_handles(fake, &slot, true);
}

/* Close it, and the login with the last one. */
static void close_session(struct fake *fake, struct fake_session *session)
{
    size_t slot = session->slot;
    size_t i = 0;

    memset(session, 0, sizeof(*session));
    while (i < FAKE_MAX_SESSIONS &&
           (fake->sessions[i].handle == CK_INVALID_HANDLE ||
            fake->sessions[i].slot != slot))
        i++;
    if (i == FAKE_MAX_SESSIONS && !fake->profile->login_outlives &&
        fake->slots[slot].logged_in)
        log_out(fake, slot);
}

void fake_lose_login(struct fake *fake)
{
    size_t i = 0;

    for (i = 0; i < fake->n_slots; i++)
        fake->slots[i].logged_in = false;
}

void fake_forget(struct fake *fake)
{
    memset(fake->sessions, 0, sizeof(fake->sessions));
    fake_lose_login(fake);
    fake_renew_handles(fake, NULL, false);
}

static CK_RV compare_pin(const struct fake_slot *slot, const unsigned char *pin,
                         size_t len)
{
    return len == strlen(slot->pin) && memcmp(pin, slot->pin, len) == 0
               ? CKR_OK
               : CKR_PIN_INCORRECT;
}

/* CKR_OK, or why the PIN (NULL: typed on the token) is not accepted. */
static CK_RV check_pin(struct fake *fake, struct fake_slot *slot,
                       const unsigned char *pin, size_t len)
{
    CK_RV rv = CKR_OK;

    if (slot->pin_tries != 0 && slot->bad_pins >= slot->pin_tries)
        return CKR_PIN_LOCKED;
    if (pin == NULL && (slot->flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0)
        return CKR_ARGUMENTS_BAD;
    if (pin != NULL && fake->profile->user_in_pin &&
        memchr(pin, ':', len) == NULL)
        return CKR_ARGUMENTS_BAD;
    rv = pin == NULL ? slot->pinpad : compare_pin(slot, pin, len);
    if (rv == CKR_OK)
        slot->bad_pins = 0;
    else if (rv == CKR_PIN_INCORRECT)
        slot->bad_pins++;
    return rv;
}

static CK_RV open_session(struct fake *fake, const struct fake_slot *slot,
                          CK_FLAGS flags, CK_SESSION_HANDLE *session)
{
    struct fake_session *place = NULL;
    size_t index = (size_t)(slot - fake->slots);
    unsigned long of_slot = 0;
    size_t i = 0;

    for (i = FAKE_MAX_SESSIONS; i-- > 0;) {
        if (fake->sessions[i].handle == CK_INVALID_HANDLE)
            place = &fake->sessions[i];
        else if (fake->sessions[i].slot == index)
            of_slot++;
    }
    if (place == NULL || of_slot >= fake->max_sessions)
        return CKR_SESSION_COUNT;
    memset(place, 0, sizeof(*place));
    place->handle = ++fake->last_handle;
    place->slot = index;
    place->flags = flags;
    *session = place->handle;
    return CKR_OK;
}

CK_RV fake_C_OpenSession(CK_SLOT_ID id, CK_FLAGS flags, void *application,
                         CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    struct fake_call call = { .function = "C_OpenSession",
                              .slot = id,
                              .flags = flags };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_slot *slot = NULL;

    if (rv == CKR_OK)
        slot = fake_token(fake, id, &rv);
    if (rv != CKR_OK)
        return fake_leave(fake, &call, rv);
    if ((flags & CKF_SERIAL_SESSION) == 0)
        rv = CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    else if (fake->profile->read_write_only && (flags & CKF_RW_SESSION) == 0)
        rv = CKR_FUNCTION_FAILED;
    else if (session == NULL || (fake->profile->no_callback &&
                                 (application != NULL || notify != NULL)))
        rv = CKR_ARGUMENTS_BAD;
    else
        rv = open_session(fake, slot, flags, session);
    if (rv == CKR_OK)
        call.session = *session;
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_CloseSession(CK_SESSION_HANDLE handle)
{
    struct fake_call call = { .function = "C_CloseSession", .session = handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    struct fake_session *session = NULL;

    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK)
        close_session(fake, session);
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_CloseAllSessions(CK_SLOT_ID id)
{
    struct fake_call call = { .function = "C_CloseAllSessions", .slot = id };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_slot *slot = NULL;
    size_t i = 0;

    if (rv == CKR_OK)
        slot = fake_token(fake, id, &rv);
    for (i = 0; rv == CKR_OK && i < FAKE_MAX_SESSIONS; i++) {
        struct fake_session *session = &fake->sessions[i];

        if (session->handle == CK_INVALID_HANDLE ||
            &fake->slots[session->slot] != slot)
            continue;
        if (session->busy)
            fake->violations++;
        close_session(fake, session);
    }
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    struct fake_call call = { .function = "C_GetSessionInfo",
                              .session = handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_session *session = NULL;

    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK && info == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK) {
        bool write = (session->flags & CKF_RW_SESSION) != 0;

        *info = (CK_SESSION_INFO){ .slotID = fake->slots[session->slot].id,
                                   .flags = session->flags };
        if (fake->slots[session->slot].logged_in)
            info->state = write ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
        else
            info->state = write ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
    }
    return fake_leave(fake, &call, rv);
}

/* The PIN for one signature, between C_SignInit and C_Sign (v2.40, 5.6). */
static CK_RV context_login(struct fake *fake, struct fake_session *session,
                           const unsigned char *pin, size_t len)
{
    const struct fake_object *key = NULL;
    CK_RV rv = CKR_OK;

    if (session->signing)
        key = fake_object(fake, session, session->key, CKR_KEY_HANDLE_INVALID,
                          &rv);
    if (rv != CKR_OK)
        return rv;
    if (key == NULL || !fake_wants_pin(fake, key))
        return CKR_OPERATION_NOT_INITIALIZED;
    rv = check_pin(fake, &fake->slots[session->slot], pin, len);
    session->authenticated = rv == CKR_OK;
    return rv;
}

static CK_RV log_in(struct fake *fake, struct fake_session *session,
                    CK_USER_TYPE user, const unsigned char *pin, size_t len)
{
    struct fake_slot *slot = &fake->slots[session->slot];
    CK_RV rv = CKR_OK;

    if (user == CKU_CONTEXT_SPECIFIC)
        return context_login(fake, session, pin, len);
    if (user != CKU_USER)
        return CKR_USER_TYPE_INVALID;
    if (slot->logged_in)
        return CKR_USER_ALREADY_LOGGED_IN;
    rv = check_pin(fake, slot, pin, len);
    slot->logged_in = rv == CKR_OK;
    return rv;
}

CK_RV fake_C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_BYTE *pin,
                   CK_ULONG len)
{
    struct fake_call call = { .function = "C_Login",
                              .session = handle,
                              .user = user,
                              .pin_given = pin != NULL };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    struct fake_session *session = NULL;

    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK)
        rv = log_in(fake, session, user, pin, len);
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_Logout(CK_SESSION_HANDLE handle)
{
    struct fake_call call = { .function = "C_Logout", .session = handle };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_session *session = NULL;

    if (rv == CKR_OK)
        session = fake_session(fake, handle, &rv);
    if (rv == CKR_OK && !fake->slots[session->slot].logged_in)
        rv = CKR_USER_NOT_LOGGED_IN;
    if (rv == CKR_OK)
        log_out(fake, session->slot);
    return fake_leave(fake, &call, rv);
}
