/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CK_RV means: its name, what went wrong in the user's words, what to
 * do about it, and which class of policy it falls under.
 *
 * Every function of pkcs11/ that can fail returns a CK_RV (CKR_OK is success)
 * and has, as its last parameter, a struct p11_error that it fills where the
 * reason is known.  A CK_RV is not a truth value: CKR_OK is 0.
 *
 * What goes wrong on our side of the token (no such key, a bad URI) has
 * values of its own in PKCS #11's vendor range, so that there is one
 * convention and one table.
 */
#ifndef HSMSIGN_RV_H
#define HSMSIGN_RV_H

#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include "cryptoki.h"

#define P11_RV(n)          (CKR_VENDOR_DEFINED | 0x48534D00UL | (n)) /* "HSM" */
#define P11_RV_IS_OURS(rv) (((rv) & ~0xffUL) == P11_RV(0))
#define P11_CONFIG         P11_RV(1) /* an option is unknown or has a bad value */
#define P11_URI_INVALID    P11_RV(2) /* not a pkcs11: URI that RFC 7512 allows */
#define P11_MODULE_LOAD    P11_RV(3) /* the PKCS #11 module cannot be loaded */
#define P11_NO_TOKEN       P11_RV(4) /* no token matches the URI */
#define P11_MANY_TOKENS    P11_RV(5) /* several do */
#define P11_NO_KEY         P11_RV(6) /* no private key matches the URI */
#define P11_MANY_KEYS      P11_RV(7) /* several do */
#define P11_NO_PIN         P11_RV(8) /* the token wants a PIN, nothing gives one */
#define P11_PIN_SOURCE     P11_RV(9)  /* what holds the PIN is unreadable */
#define P11_KEY_UNUSABLE   P11_RV(10) /* a key of a type or curve not handled */
#define P11_KEY_NO_SIGN    P11_RV(11) /* CKA_SIGN is false */
#define P11_KEY_CHANGED    P11_RV(12) /* the URI now names another key */
#define P11_SESSION_WAIT   P11_RV(13) /* no session became free in time */
#define P11_NO_PUBLIC      P11_RV(14) /* the public half is not known */
#define P11_DIGEST         P11_RV(15) /* digest or length the key cannot take */
#define P11_PARAMETER      P11_RV(16) /* a parameter we do not take */
#define P11_UNSUPPORTED    P11_RV(17) /* understood, not offered */
#define P11_EXITING        P11_RV(18) /* the process is exiting */
#define P11_NO_OBJECT      P11_RV(19) /* no object matches the URI */
#define P11_MANY_OBJECTS   P11_RV(20) /* several do */
#define P11_KEY_EXISTS     P11_RV(21) /* a key of that name exists already */
#define P11_KEY_EXPOSED    P11_RV(22) /* a new key that can leave its token */
#define P11_STALE          P11_RV(23) /* a list of objects from before a restart */
#define P11_LAST_TRY       P11_RV(24) /* one more wrong PIN would lock it */
#define P11_BAD_SIGNATURE  P11_RV(25) /* the public key does not verify it */
#define P11_KEY_PINNED     P11_RV(26) /* it is none of the pinned ones */
#define P11_AUDIT          P11_RV(27) /* the audit log cannot be written */
#define P11_LOGIN          P11_RV(28) /* C_Login failed, and not for the PIN */
#define P11_OVERTAKEN      P11_RV(29) /* others log in while a key is found */

enum p11_class {
    P11_CLASS_FATAL,   /* trying again gives the same answer */
    P11_CLASS_PIN,     /* never retried: tries are counted by the token */
    P11_CLASS_LIBRARY, /* C_Initialize would mend it; fatal so far */
    P11_CLASS_LIMIT,   /* no more sessions: wait for one */
    /* A new session mends it, or time: the token is the one of before. */
    P11_CLASS_BUSY,
    /* It may not be: log in if need be, and find the key again. */
    P11_CLASS_SESSION, /* the session is gone */
    P11_CLASS_LOGIN,   /* the login is */
    P11_CLASS_HANDLE,  /* the key's handle is */
    P11_CLASS_DEVICE   /* the token was restarted, or is gone */
};

struct p11_rv_info {
    CK_RV rv;
    const char *name; /* "CKR_PIN_INCORRECT"; "P11_NO_KEY" for our own */
    enum p11_class class;
    const char *reason; /* short, lower case: "the PIN is wrong" */
    const char *fix;    /* what to do, one clause without final stop */
};

/* Attributes that cannot be had leave the others intact (v2.40, 5.7). */
static inline bool p11_rv_is_partial(CK_RV rv)
{
    return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
           rv == CKR_BUFFER_TOO_SMALL;
}

/* The row for rv; never NULL: that of other values is "unknown CK_RV". */
const struct p11_rv_info *p11_rv_info(CK_RV rv);
/* The whole table; *n receives the number of rows, "unknown" the last. */
const struct p11_rv_info *p11_rv_table(size_t *n);

/* A reason for failure, in one line that holds no PIN and no data. */
struct p11_error {
    CK_RV rv;
    unsigned retries; /* of p11_key_sign(), with or without a failure */
    char text[640];
};

/*
 * vsnprintf for one line that a person reads: cut with "..." when too long,
 * control characters (labels come from the token) become '?'.  size >= 4.
 * Returns the length of what is in buf.
 */
size_t p11_vformat(char *buf, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/*
 * The known name that name, of len bytes, was probably meant to be, or NULL.
 * known gives the i-th of them, NULL behind the last.
 */
const char *p11_nearest(const char *name, size_t len,
                        const char *(*known)(size_t i));

/*
 * Fill err (NULL is allowed) with rv and such a line, and return rv, so that
 * "return p11_error_set(...)" reads well.  The text should not repeat the
 * reason, which the caller's error queue shows beside it.  "%m" works, and an
 * argument may be err->text itself.
 */
CK_RV p11_error_set(struct p11_error *err, CK_RV rv, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
CK_RV p11_error_vset(struct p11_error *err, CK_RV rv, const char *format,
                     va_list args) __attribute__((format(printf, 3, 0)));

/*
 * The text for a PKCS #11 call that failed, where it did:
 *
 *     C_Login: CKR_PIN_INCORRECT (token "demo"): correct the PIN, ...
 *
 * A value that is not in the table is shown in hex.
 */
CK_RV p11_error_call(struct p11_error *err, CK_RV rv, const char *function,
                     const char *where);

#endif
