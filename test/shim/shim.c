/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim: a PKCS #11 module that stands in front of another one, for tests
 * with real programs.  It forwards every call, and counts, logs, delays and
 * fails calls as the environment says:
 *
 *   HSMSIGN_SHIM_MODULE        the module behind; the only one that is needed
 *   HSMSIGN_SHIM_LOG           a file; one line per call, in the order in which
 *                              the calls return: "C_Sign 0x0 session=0x1".
 *                              C_GetAttributeValue has attrs=0x0,0x3,
 *                              C_FindObjectsInit the same of its template,
 *                              C_SignInit mechanism=0x1 key=0x2, C_Login
 *                              user=0x1 and pin=none or pin=given; never a PIN,
 *                              never data
 *   HSMSIGN_SHIM_DELAY_US      each call that is a round trip sleeps so long
 *   HSMSIGN_SHIM_MAX_SESSIONS  CKR_SESSION_COUNT beyond (for each slot)
 *   HSMSIGN_SHIM_FAIL          "C_Sign=0x30*1@3;C_Login=0xA4": the function,
 *                              what it answers, how many times (default: for
 *                              ever) and beginning with which call (default:
 *                              the first).  Such a call is not forwarded, so
 *                              that an operation stays active behind it.  The
 *                              first rule that fits counts
 *   HSMSIGN_SHIM_TOKEN_FLAGS   "+0x100,-0x4": bits of CK_TOKEN_INFO.flags
 *   HSMSIGN_SHIM_PINPAD        the PIN that a person would type on the token:
 *                              with CKF_PROTECTED_AUTHENTICATION_PATH (0x100)
 *                              set above, a C_Login without a PIN sends this
 *   HSMSIGN_SHIM_ATTR          "0x202=01;0x180=-": what C_GetAttributeValue
 *                              answers for an attribute of any object, as hex
 *                              bytes, or - for "unavailable".  0x202=01 makes
 *                              every signature want C_Login(CKU_CONTEXT_
 *                              SPECIFIC) between C_SignInit and C_Sign, with
 *                              HSMSIGN_SHIM_PINPAD's PIN if that is set
 *
 * Call counts, and what was learned of sessions, live as long as the shim is
 * loaded; a forked child goes on with copies of the counts.
 *
 * Neither the module behind nor the log is ever closed: other libraries'
 * destructors may still call us at exit, after ours would have run.
 */
#include <pthread.h>
#include <string.h>
#include "shim.h"

static CK_FUNCTION_LIST *real; /* the module behind */

static void note_template(struct shim_call *call, const CK_ATTRIBUTE *templ,
                          CK_ULONG count)
{
    CK_ULONG i = 0;

    shim_call_note(call, " attrs=");
    for (i = 0; templ != NULL && i < count; i++)
        shim_call_note(call, "%s0x%lx", i == 0 ? "" : ",", templ[i].type);
}

/*
 * A function that is only forwarded; first is its first parameter, which the
 * log shows.  The list hides those that the module behind does not have.
 */
#define FORWARD(name, first, params, args)                                     \
    static CK_RV forward_##name params                                         \
    {                                                                          \
        struct shim_call call;                                                 \
        CK_RV rv = shim_call_begin(&call, SHIM_##name);                        \
                                                                               \
        shim_call_note(&call, " " #first "=0x%lx", (unsigned long)(first));    \
        if (rv == CKR_OK)                                                      \
            rv = real->name args;                                              \
        return shim_call_end(&call, rv);                                       \
    }

#define OTHER(name, first, params, args) FORWARD(name, first, params, args)
#include "../cryptoki_functions.h"

FORWARD(C_GetSlotList, present,
        (CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count),
        (present, list, count))
FORWARD(C_GetSlotInfo, slot, (CK_SLOT_ID slot, CK_SLOT_INFO *info),
        (slot, info))
FORWARD(C_GetMechanismList, slot,
        (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count),
        (slot, list, count))
FORWARD(C_GetMechanismInfo, slot,
        (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),
        (slot, type, info))
FORWARD(C_GetSessionInfo, session,
        (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))
FORWARD(C_Logout, session, (CK_SESSION_HANDLE session), (session))
FORWARD(C_FindObjects, session,
        (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
         CK_ULONG *count),
        (session, objects, max, count))
FORWARD(C_FindObjectsFinal, session, (CK_SESSION_HANDLE session), (session))

static CK_RV forward_C_Initialize(void *args)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_Initialize);

    if (rv == CKR_OK)
        rv = real->C_Initialize(args);
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_Finalize(void *reserved)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_Finalize);

    if (rv == CKR_OK)
        rv = real->C_Finalize(reserved);
    if (rv == CKR_OK)
        front_sessions_closed(NULL);
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_GetInfo(CK_INFO *info)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_GetInfo);

    if (rv == CKR_OK)
        rv = real->C_GetInfo(info);
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_GetTokenInfo);

    shim_call_note(&call, " slot=0x%lx", slot);
    if (rv == CKR_OK)
        rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK)
        info->flags =
            (info->flags | shim_config.set_flags) & ~shim_config.clear_flags;
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags,
                                   void *application, CK_NOTIFY notify,
                                   CK_SESSION_HANDLE *session)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_OpenSession);

    shim_call_note(&call, " slot=0x%lx flags=0x%lx", slot, flags);
    if (rv != CKR_OK)
        return shim_call_end(&call, rv);
    if (!front_session_reserve(slot, shim_config.max_sessions, 0))
        return shim_call_end(&call, CKR_SESSION_COUNT);
    rv = real->C_OpenSession(slot, flags, application, notify, session);
    if (rv == CKR_OK) {
        front_session_opened(slot, *session);
        shim_call_note(&call, " session=0x%lx", *session);
    } else {
        front_session_unreserve(slot);
    }
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_CloseSession(CK_SESSION_HANDLE session)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_CloseSession);

    shim_call_note(&call, " session=0x%lx", session);
    if (rv != CKR_OK)
        return shim_call_end(&call, rv);
    rv = real->C_CloseSession(session);
    if (rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID ||
        rv == CKR_SESSION_CLOSED)
        front_session_closed(session);
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_CloseAllSessions);

    shim_call_note(&call, " slot=0x%lx", slot);
    if (rv == CKR_OK)
        rv = real->C_CloseAllSessions(slot);
    if (rv == CKR_OK)
        front_sessions_closed(&slot);
    return shim_call_end(&call, rv);
}

/*
 * C_Login(CKU_CONTEXT_SPECIFIC) for a key that wants a PIN for each signature
 * because we said so.  The token knows nothing of it and is not asked.
 */
static CK_RV context_login(CK_SESSION_HANDLE session, const CK_BYTE *pin,
                           CK_ULONG pinlen)
{
    struct front_session *open = front_session(session);

    if (open == NULL || open->state == SHIM_AUTH_NONE)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (pin == NULL &&
        (shim_config.set_flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0)
        return CKR_ARGUMENTS_BAD;
    if (pin != NULL && shim_config.pinpad_len != 0 &&
        (pinlen != shim_config.pinpad_len ||
         memcmp(pin, shim_config.pinpad, pinlen) != 0))
        return CKR_PIN_INCORRECT;
    open->state = SHIM_AUTH_GIVEN;
    return CKR_OK;
}

static CK_RV forward_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user,
                             CK_BYTE *pin, CK_ULONG pinlen)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_Login);

    shim_call_note(&call, " session=0x%lx user=0x%lx pin=%s", session, user,
                   pin == NULL ? "none" : "given");
    if (rv != CKR_OK)
        return shim_call_end(&call, rv);
    if (user == CKU_CONTEXT_SPECIFIC && shim_config.always_authenticate)
        rv = context_login(session, pin, pinlen);
    else if (pin == NULL &&
             (shim_config.set_flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0)
        rv = real->C_Login(session, user, shim_config.pinpad,
                           shim_config.pinpad_len);
    else
        rv = real->C_Login(session, user, pin, pinlen);
    return shim_call_end(&call, rv);
}

static bool forced_attribute(CK_ATTRIBUTE_TYPE type,
                             struct front_answer *answer, const void *arg)
{
    size_t i = 0;

    (void)arg;
    for (i = 0; i < shim_config.n_attributes; i++) {
        if (shim_config.attributes[i].type == type) {
            *answer = shim_config.attributes[i].answer;
            return true;
        }
    }
    return false;
}

static CK_RV forward_C_GetAttributeValue(CK_SESSION_HANDLE session,
                                         CK_OBJECT_HANDLE object,
                                         CK_ATTRIBUTE *templ, CK_ULONG count)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_GetAttributeValue);

    shim_call_note(&call, " session=0x%lx object=0x%lx", session, object);
    note_template(&call, templ, count);
    if (rv == CKR_OK)
        rv = front_get_attributes(real, session, object, templ, count,
                                  forced_attribute, NULL);
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_FindObjectsInit(CK_SESSION_HANDLE session,
                                       CK_ATTRIBUTE *templ, CK_ULONG count)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_FindObjectsInit);

    shim_call_note(&call, " session=0x%lx", session);
    note_template(&call, templ, count);
    if (rv == CKR_OK)
        rv = real->C_FindObjectsInit(session, templ, count);
    return shim_call_end(&call, rv);
}

static CK_RV forward_C_SignInit(CK_SESSION_HANDLE session,
                                CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct shim_call call;
    struct front_session *open = front_session(session);
    CK_RV rv = shim_call_begin(&call, SHIM_C_SignInit);

    shim_call_note(&call, " session=0x%lx mechanism=0x%lx key=0x%lx", session,
                   mechanism == NULL ? CK_UNAVAILABLE_INFORMATION
                                     : mechanism->mechanism,
                   key);
    if (rv == CKR_OK)
        rv = real->C_SignInit(session, mechanism, key);
    if (rv == CKR_OK && open != NULL && shim_config.always_authenticate)
        open->state = SHIM_AUTH_WANTED;
    return shim_call_end(&call, rv);
}

/*
 * C_Sign with a key that wants a PIN each time.  Without it the call fails and
 * ends the operation (5.11); since the token would go on waiting for C_Sign,
 * it gets one, whose signature is thrown away.
 */
static CK_RV sign_authenticated(CK_SESSION_HANDLE session, CK_BYTE *data,
                                CK_ULONG len, CK_BYTE *sig, CK_ULONG *siglen)
{
    struct front_session *open = front_session(session);
    CK_BYTE thrown_away[4096];
    CK_ULONG n = sizeof(thrown_away);
    CK_RV rv = CKR_OK;

    if (open != NULL && open->state == SHIM_AUTH_WANTED) {
        real->C_Sign(session, data, len, thrown_away, &n);
        rv = CKR_USER_NOT_LOGGED_IN;
    } else {
        rv = real->C_Sign(session, data, len, sig, siglen);
    }
    /* A size query, or too small a buffer, leaves the operation active. */
    if (open != NULL && rv != CKR_BUFFER_TOO_SMALL &&
        !(rv == CKR_OK && sig == NULL))
        open->state = SHIM_AUTH_NONE;
    return rv;
}

static CK_RV forward_C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data,
                            CK_ULONG len, CK_BYTE *sig, CK_ULONG *siglen)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_Sign);

    shim_call_note(&call, " session=0x%lx", session);
    if (rv != CKR_OK)
        return shim_call_end(&call, rv);
    if (shim_config.always_authenticate)
        rv = sign_authenticated(session, data, len, sig, siglen);
    else
        rv = real->C_Sign(session, data, len, sig, siglen);
    return shim_call_end(&call, rv);
}

#define MODELLED(name)                   .name = forward_##name,
#define OTHER(name, first, params, args) .name = forward_##name,
static CK_RV forward_C_GetFunctionList(CK_FUNCTION_LIST **list);
static CK_FUNCTION_LIST functions = {
    .version = { 2, 40 },
#include "../cryptoki_functions.h"
};

static void load(void)
{
    shim_config_read(&shim_config);
    front_sessions_init();
    real = front_load(shim_config.module, C_GetFunctionList, &functions);
}

static CK_RV forward_C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    struct shim_call call;
    CK_RV rv = shim_call_begin(&call, SHIM_C_GetFunctionList);

    if (rv == CKR_OK && list == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        *list = &functions;
    return shim_call_end(&call, rv);
}

/* The one symbol that the shim exports. */
__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return forward_C_GetFunctionList(list);
}
