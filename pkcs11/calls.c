/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per PKCS #11 call: the only place where the function list is
 * used, so that every call is guarded and shown in the log the same way.
 */
#include <time.h>
#include "calls.h"
#include "log.h"

/* PKCS #11's C prototypes lack const; nothing below writes to its input. */
#define INVOKE(fl, function, args)                                             \
    ((fl)->function != NULL ? (fl)->function args : CKR_FUNCTION_NOT_SUPPORTED)

static struct timespec trace_begin(void)
{
    struct timespec now = { 0, 0 };

    if (p11_log_enabled(P11_LOG_DEBUG))
        clock_gettime(CLOCK_MONOTONIC, &now);
    return now;
}

static CK_RV trace_end(const struct timespec *begin, const char *function,
                       CK_RV rv)
{
    struct timespec now;
    double ms;

    if (!p11_log_enabled(P11_LOG_DEBUG))
        return rv;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (double)(now.tv_sec - begin->tv_sec) * 1e3 +
         (double)(now.tv_nsec - begin->tv_nsec) / 1e6;
    p11_log(P11_LOG_DEBUG, "%s %.3f ms %s (0x%lx)", function, ms,
            p11_rv_info(rv)->name, rv);
    return rv;
}

CK_RV p11_C_Initialize(CK_FUNCTION_LIST *fl, CK_C_INITIALIZE_ARGS *args)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_Initialize", INVOKE(fl, C_Initialize, (args)));
}

CK_RV p11_C_Finalize(CK_FUNCTION_LIST *fl)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_Finalize", INVOKE(fl, C_Finalize, (NULL)));
}

CK_RV p11_C_GetInfo(CK_FUNCTION_LIST *fl, CK_INFO *info)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_GetInfo", INVOKE(fl, C_GetInfo, (info)));
}

CK_RV p11_C_GetSlotList(CK_FUNCTION_LIST *fl, CK_BBOOL token_present,
                        CK_SLOT_ID *slots, CK_ULONG *count)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_GetSlotList",
                     INVOKE(fl, C_GetSlotList, (token_present, slots, count)));
}

CK_RV p11_C_GetSlotInfo(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot,
                        CK_SLOT_INFO *info)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_GetSlotInfo",
                     INVOKE(fl, C_GetSlotInfo, (slot, info)));
}

CK_RV p11_C_GetTokenInfo(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot,
                         CK_TOKEN_INFO *info)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_GetTokenInfo",
                     INVOKE(fl, C_GetTokenInfo, (slot, info)));
}

CK_RV p11_C_OpenSession(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot,
                        CK_SESSION_HANDLE *session)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_OpenSession",
                     INVOKE(fl, C_OpenSession,
                            (slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                             NULL, session)));
}

CK_RV p11_C_CloseSession(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_CloseSession",
                     INVOKE(fl, C_CloseSession, (session)));
}

CK_RV p11_C_GetSessionInfo(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                           CK_SESSION_INFO *info)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_GetSessionInfo",
                     INVOKE(fl, C_GetSessionInfo, (session, info)));
}

CK_RV p11_C_Login(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                  CK_USER_TYPE user, const unsigned char *pin, size_t pin_len)
{
    struct timespec begin = trace_begin();

    return trace_end(
        &begin, "C_Login",
        INVOKE(fl, C_Login,
               (session, user, (CK_UTF8CHAR *)pin, (CK_ULONG)pin_len)));
}

CK_RV p11_C_FindObjectsInit(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                            CK_ATTRIBUTE *tmpl, CK_ULONG count)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_FindObjectsInit",
                     INVOKE(fl, C_FindObjectsInit, (session, tmpl, count)));
}

CK_RV p11_C_FindObjects(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                        CK_OBJECT_HANDLE *objects, CK_ULONG max,
                        CK_ULONG *count)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_FindObjects",
                     INVOKE(fl, C_FindObjects, (session, objects, max, count)));
}

CK_RV p11_C_FindObjectsFinal(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_FindObjectsFinal",
                     INVOKE(fl, C_FindObjectsFinal, (session)));
}

CK_RV p11_C_GetAttributeValue(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                              CK_OBJECT_HANDLE object, CK_ATTRIBUTE *tmpl,
                              CK_ULONG count)
{
    struct timespec begin = trace_begin();

    return trace_end(
        &begin, "C_GetAttributeValue",
        INVOKE(fl, C_GetAttributeValue, (session, object, tmpl, count)));
}

CK_RV p11_C_SignInit(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                     CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct timespec begin = trace_begin();

    return trace_end(&begin, "C_SignInit",
                     INVOKE(fl, C_SignInit, (session, mechanism, key)));
}

CK_RV p11_C_Sign(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                 const unsigned char *data, size_t len, unsigned char *sig,
                 CK_ULONG *sig_len)
{
    struct timespec begin = trace_begin();

    return trace_end(
        &begin, "C_Sign",
        INVOKE(fl, C_Sign,
               (session, (CK_BYTE *)data, (CK_ULONG)len, sig, sig_len)));
}
