/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only way in which this project calls a PKCS #11 module.
 *
 * A function that the module left out (a NULL entry) answers
 * CKR_FUNCTION_NOT_SUPPORTED instead of crashing; a value of our own (rv.h) is
 * CKR_GENERAL_ERROR.  At log level debug each call is one line: name,
 * milliseconds, CK_RV; never a parameter.
 */
#ifndef HSMSIGN_CALLS_H
#define HSMSIGN_CALLS_H

#include "cryptoki.h"
#include "log.h"
#include "rv.h"

/*
 * rv = P11_CALL(fl, C_Sign, session, ...): parameters and answer as in
 * PKCS #11 v2.40, chapter 5.  fl is evaluated more than once.  Blocks for as
 * long as the token likes.
 */
#define P11_CALL(fl, function, ...)                                            \
    (p11_call_begin(),                                                         \
     p11_call_end(#function, (fl)->function != NULL                            \
                                 ? (fl)->function(__VA_ARGS__)                 \
                                 : CKR_FUNCTION_NOT_SUPPORTED))

/* For P11_CALL, with log level debug: begin to measure; write the line. */
void p11_call_clock(void);
void p11_call_log(const char *function, CK_RV rv);
/* And with any: count it. */
void p11_call_failed(CK_RV rv);

static inline void p11_call_begin(void)
{
    if (p11_log_enabled(P11_LOG_DEBUG))
        p11_call_clock();
}

static inline CK_RV p11_call_end(const char *function, CK_RV rv)
{
    if (p11_log_enabled(P11_LOG_DEBUG))
        p11_call_log(function, rv);
    if (rv != CKR_OK)
        p11_call_failed(rv);
    /* Said by a token, they would mean what we know to be otherwise. */
    return P11_RV_IS_OURS(rv) ? CKR_GENERAL_ERROR : rv;
}

#endif
