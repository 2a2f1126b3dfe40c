/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of every CK_RV of PKCS #11 v2.40, 5.1, of v3.0 to v3.2, and of
 * our own, and the two functions that put one into words.
 *
 * The fix is written for a person who reads one line of a log at night: what
 * to change, by the names of options and files, for AWS CloudHSM and SoftHSM
 * where these differ.  The class says what the program may do by itself.  It
 * follows from what mends the failure, not from what the token calls it.
 * Rows ascend by value.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "rv.h"

#define CLOUDHSM_LOG "/opt/cloudhsm/run/cloudhsm-pkcs11.log.<date>"
#define SEE_LOG      "see the PKCS #11 module's own log (CloudHSM: " CLOUDHSM_LOG ")"
#define PIN_OPTIONS  "pkcs11-module-token-pin, HSM_PIN or HSM_PIN_FILE"
/* The answer of a function that is never called, or of arguments never used */
#define NOT_EXPECTED "this points to a fault of the PKCS #11 module; " SEE_LOG

#define OTHER_WAY   "sign with another digest, padding or key"
#define LOOK_AT_KEY "check that the URI names the key you mean"
#define INIT_TOKEN  "initialise it (SoftHSM: softhsm2-util --init-token)"
#define OWN_LIBRARY                                                            \
    "pkcs11-module-path or HSM_MODULE must name the token's own library"
#define CONFIRM   "repeat it and confirm it on the token's own keypad"
#define TRY_AGAIN "try again; if it stays, check the HSM with hsmsign doctor"
#define LOG_OUT   "log that user out in the other part of this program"
#define FIND_KEY                                                               \
    "check with hsmsign doctor --key URI that the key is still there"
#define FEWER_SESSIONS                                                         \
    "lower hsmsign-max-sessions here and in the token's other programs"

/* With a name that the system's header lacks or gives another value. */
#define NAMED(value, name, class, reason, fix)                                 \
    {                                                                          \
        value, name, P11_CLASS_##class, reason, fix                            \
    }
#define ROW(value, class, reason, fix) NAMED(value, #value, class, reason, fix)
#define UNEXPECTED_AS(value, name)                                             \
    NAMED(value, name, FATAL, "the answer does not fit the call", NOT_EXPECTED)
#define UNEXPECTED(value) UNEXPECTED_AS(value, #value)
/* Whoever returns one of ours knows better what to do, and says it. */
#define OURS(value, reason)                                                    \
    NAMED(value, #value, FATAL, reason, "the text beside it says what to do")

/*
 * Five that v2.40's pkcs11t.h numbers from 0x1b5 on, and p11-kit's header from
 * 0x1c0 on.  Tokens use the former, modules made with p11-kit the latter.
 */
#define FIVE_ROWS(first)                                                       \
    UNEXPECTED_AS(first, "CKR_EXCEEDED_MAX_ITERATIONS"),                       \
        NAMED((first) + 1, "CKR_FIPS_SELF_TEST_FAILED", FATAL,                 \
              "the token's self-test failed",                                  \
              "take the HSM out of service and ask its vendor; " SEE_LOG),     \
        NAMED((first) + 2, "CKR_LIBRARY_LOAD_FAILED", FATAL,                   \
              "the module cannot load a library that it needs",                \
              "run ldd on the file that pkcs11-module-path names"),            \
        NAMED((first) + 3, "CKR_PIN_TOO_WEAK", PIN, "the PIN is too weak",     \
              "set a stronger one, then change " PIN_OPTIONS),                 \
        UNEXPECTED_AS((first) + 4, "CKR_PUBLIC_KEY_INVALID")

static const struct p11_rv_info rows[] = {
    ROW(CKR_OK, FATAL, "no error", "nothing is to be done"),
    /* A person said no: asking again unasked would be rude. */
    ROW(CKR_CANCEL, FATAL, "the call was cancelled", CONFIRM),
    /* Another process may give some back. */
    ROW(CKR_HOST_MEMORY, BUSY, "this machine is short of memory",
        "give the process more memory"),
    ROW(CKR_SLOT_ID_INVALID, DEVICE, "the token's slot is gone",
        "plug the token in, or start what it is behind (p11-kit server)"),
    /* v2.40, 5.1.1: "unrecoverable". */
    ROW(CKR_GENERAL_ERROR, FATAL, "the PKCS #11 module gives no reason",
        SEE_LOG
        "; SoftHSM: check SOFTHSM2_CONF and who may read what it names"),
    /* AWS says that CloudHSM's calls must be repeated then. */
    ROW(CKR_FUNCTION_FAILED, BUSY, "the token could not do it",
        "try again (CloudHSM is busy, replaces an HSM, or has the key on one "
        "HSM only: configure-pkcs11 "
        "--disable-key-availability-check); " SEE_LOG),
    ROW(CKR_ARGUMENTS_BAD, FATAL, "the token refuses the arguments",
        "C_Login: CloudHSM's PIN is crypto_user:password; C_Initialize: check "
        "pkcs11-module-init-args; " SEE_LOG),
    UNEXPECTED(CKR_NO_EVENT),
    UNEXPECTED(CKR_NEED_TO_CREATE_THREADS),
    ROW(CKR_CANT_LOCK, FATAL,
        "the module cannot lock with this system's threads",
        "use a build of the module that is made for threads"),
    UNEXPECTED(CKR_ATTRIBUTE_READ_ONLY),
    UNEXPECTED(CKR_ATTRIBUTE_SENSITIVE),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, FATAL, "the token lacks an attribute",
        "name the key by object= and id= only"),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, FATAL,
        "the token refuses an attribute's value",
        "check object= and id= in the URI"),
    NAMED(0x1bUL, "CKR_ACTION_PROHIBITED", FATAL,
          "the token's policy forbids it",
          "ask its administrator; CloudHSM's quorum keys cannot be used"),
    ROW(CKR_DATA_INVALID, FATAL, "the token refuses the data", OTHER_WAY),
    ROW(CKR_DATA_LEN_RANGE, FATAL, "the data's length does not fit the key",
        "sign a digest, take a shorter digest, or take a longer key"),
    ROW(CKR_DEVICE_ERROR, DEVICE, "the token or the way to it failed",
        "check that the HSM can be reached; SoftHSM: check its token "
        "directory; " SEE_LOG),
    /* Of what others may give back: sessions and session objects. */
    ROW(CKR_DEVICE_MEMORY, BUSY, "the token is short of memory",
        FEWER_SESSIONS),
    ROW(CKR_DEVICE_REMOVED, DEVICE, "the token was removed or lost",
        "put it back, or check the network to the HSM; " SEE_LOG),
    UNEXPECTED(CKR_ENCRYPTED_DATA_INVALID),
    UNEXPECTED(CKR_ENCRYPTED_DATA_LEN_RANGE),
    UNEXPECTED_AS(0x42UL, "CKR_AEAD_DECRYPT_FAILED"),
    ROW(CKR_FUNCTION_CANCELED, FATAL, "the call was cancelled on the token",
        CONFIRM),
    UNEXPECTED(CKR_FUNCTION_NOT_PARALLEL),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, FATAL, "the module lacks the function",
        OWN_LIBRARY),
    ROW(CKR_KEY_HANDLE_INVALID, HANDLE, "the key's handle is no longer valid",
        FIND_KEY),
    ROW(CKR_KEY_SIZE_RANGE, FATAL, "the key's size is not allowed for this",
        "CloudHSM signs with RSA keys of 2048 to 4096 bits"),
    ROW(CKR_KEY_TYPE_INCONSISTENT, FATAL,
        "the key's type does not fit the mechanism", LOOK_AT_KEY),
    UNEXPECTED(CKR_KEY_NOT_NEEDED),
    UNEXPECTED(CKR_KEY_CHANGED),
    UNEXPECTED(CKR_KEY_NEEDED),
    UNEXPECTED(CKR_KEY_INDIGESTIBLE),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, FATAL, "the key may not sign",
        "take a key made with CKA_SIGN true, and without CloudHSM's quorum"),
    UNEXPECTED(CKR_KEY_NOT_WRAPPABLE),
    UNEXPECTED(CKR_KEY_UNEXTRACTABLE),
    ROW(CKR_MECHANISM_INVALID, FATAL, "the token lacks the mechanism",
        "sign in a way that pkcs11-tool --list-mechanisms shows"),
    ROW(CKR_MECHANISM_PARAM_INVALID, FATAL,
        "the token refuses the mechanism's parameters",
        "take the same digest for PSS and MGF1, and rsa_pss_saltlen:digest"),
    ROW(CKR_OBJECT_HANDLE_INVALID, HANDLE,
        "the object's handle is no longer valid", FIND_KEY),
    /* The session is stuck (v2.40, 5.1.6), and waiting would not free it. */
    ROW(CKR_OPERATION_ACTIVE, BUSY, "the session is busy",
        "try again; update an old CloudHSM SDK"),
    /* Something between two of our calls ended what the first had begun. */
    ROW(CKR_OPERATION_NOT_INITIALIZED, BUSY, "the operation was not begun",
        TRY_AGAIN),
    ROW(CKR_PIN_INCORRECT, PIN, "the PIN is wrong",
        "correct it before the next try, or the token locks: pin-value or "
        "pin-source in the URI, else " PIN_OPTIONS
        " (CloudHSM: crypto_user:password; in openssl.cnf put $ and # in "
        "single quotes)"),
    ROW(CKR_PIN_INVALID, PIN, "the PIN has characters that are not allowed",
        "correct " PIN_OPTIONS " (CloudHSM: crypto_user:password)"),
    ROW(CKR_PIN_LEN_RANGE, PIN, "the PIN is too short or too long",
        "correct " PIN_OPTIONS
        " (CloudHSM: crypto_user:password, that of 8 to 32 characters)"),
    ROW(CKR_PIN_EXPIRED, PIN, "the PIN has expired",
        "set a new one, then change " PIN_OPTIONS),
    ROW(CKR_PIN_LOCKED, PIN, "the PIN is locked",
        "correct " PIN_OPTIONS
        ", then let the security officer unlock it (CloudHSM: an admin)"),
    ROW(CKR_SESSION_CLOSED, SESSION, "the session was closed", TRY_AGAIN),
    ROW(CKR_SESSION_COUNT, LIMIT, "the token has no more sessions",
        "lower hsmsign-max-sessions (CloudHSM: 1,024 an application)"),
    ROW(CKR_SESSION_HANDLE_INVALID, SESSION,
        "the session's handle is no longer valid", TRY_AGAIN),
    UNEXPECTED(CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    UNEXPECTED(CKR_SESSION_READ_ONLY),
    UNEXPECTED(CKR_SESSION_EXISTS),
    UNEXPECTED(CKR_SESSION_READ_ONLY_EXISTS),
    UNEXPECTED(CKR_SESSION_READ_WRITE_SO_EXISTS),
    UNEXPECTED(CKR_SIGNATURE_INVALID),
    UNEXPECTED(CKR_SIGNATURE_LEN_RANGE),
    UNEXPECTED(CKR_TEMPLATE_INCOMPLETE),
    UNEXPECTED(CKR_TEMPLATE_INCONSISTENT),
    ROW(CKR_TOKEN_NOT_PRESENT, DEVICE, "there is no token in the slot",
        "insert it; CloudHSM: configure-pkcs11; SoftHSM: SOFTHSM2_CONF"),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, DEVICE, "the module does not know the token",
        OWN_LIBRARY),
    ROW(CKR_TOKEN_WRITE_PROTECTED, FATAL, "the token is write-protected",
        "unprotect it: sessions are opened read-write, as CloudHSM requires"),
    UNEXPECTED(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    UNEXPECTED(CKR_UNWRAPPING_KEY_SIZE_RANGE),
    UNEXPECTED(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    /* Success for whoever wanted to be logged in, and treated so there. */
    ROW(CKR_USER_ALREADY_LOGGED_IN, FATAL, "the user is already logged in",
        "nothing is to be done: a login holds for the whole process"),
    ROW(CKR_USER_NOT_LOGGED_IN, LOGIN, "nobody is logged in to the token",
        "give the PIN by " PIN_OPTIONS),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, FATAL, "the token has no user PIN yet",
        INIT_TOKEN),
    ROW(CKR_USER_TYPE_INVALID, FATAL, "the token lacks this kind of login",
        "take a key without CKA_ALWAYS_AUTHENTICATE"),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, FATAL,
        "another user is logged in to the token", LOG_OUT),
    ROW(CKR_USER_TOO_MANY_TYPES, FATAL, "too many kinds of user are logged in",
        LOG_OUT),
    UNEXPECTED(CKR_WRAPPED_KEY_INVALID),
    UNEXPECTED(CKR_WRAPPED_KEY_LEN_RANGE),
    UNEXPECTED(CKR_WRAPPING_KEY_HANDLE_INVALID),
    UNEXPECTED(CKR_WRAPPING_KEY_SIZE_RANGE),
    UNEXPECTED(CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
    UNEXPECTED(CKR_RANDOM_SEED_NOT_SUPPORTED),
    UNEXPECTED(CKR_RANDOM_NO_RNG),
    UNEXPECTED(CKR_DOMAIN_PARAMS_INVALID),
    ROW(CKR_CURVE_NOT_SUPPORTED, FATAL, "the token lacks the key's curve",
        "take a key on a curve that the token supports"),
    ROW(CKR_BUFFER_TOO_SMALL, FATAL, "the token's answer is too long",
        LOOK_AT_KEY),
    UNEXPECTED(CKR_SAVED_STATE_INVALID),
    UNEXPECTED(CKR_INFORMATION_SENSITIVE),
    UNEXPECTED(CKR_STATE_UNSAVEABLE),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, LIBRARY,
        "the PKCS #11 module is not initialised",
        "find the part of this program that calls C_Finalize on the same "
        "module"),
    /* Success for whoever wanted it initialised, and treated so there. */
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, FATAL,
        "the PKCS #11 module is already initialised",
        "nothing is to be done: it is shared with the application"),
    UNEXPECTED(CKR_MUTEX_BAD),
    UNEXPECTED(CKR_MUTEX_NOT_LOCKED),
    UNEXPECTED(CKR_NEW_PIN_MODE),
    UNEXPECTED(CKR_NEXT_OTP),
    FIVE_ROWS(0x1b5UL),
    FIVE_ROWS(0x1c0UL),
    ROW(CKR_FUNCTION_REJECTED, FATAL, "the token or its user rejected it",
        "confirm it on the token, or ask who administers it"),
    /* Like CKR_DEVICE_MEMORY: what is short now may be there in a moment. */
    ROW(CKR_TOKEN_RESOURCE_EXCEEDED, BUSY, "the token is short of resources",
        FEWER_SESSIONS),
    UNEXPECTED_AS(0x202UL, "CKR_OPERATION_CANCEL_FAILED"),
    UNEXPECTED_AS(0x203UL, "CKR_KEY_EXHAUSTED"),
    UNEXPECTED_AS(0x204UL, "CKR_PENDING"),
    UNEXPECTED_AS(0x205UL, "CKR_SESSION_ASYNC_NOT_SUPPORTED"),
    UNEXPECTED_AS(0x206UL, "CKR_SEED_RANDOM_REQUIRED"),
    NAMED(0x207UL, "CKR_OPERATION_NOT_VALIDATED", FATAL,
          "the token's FIPS policy forbids it", OTHER_WAY),
    NAMED(0x208UL, "CKR_TOKEN_NOT_INITIALIZED", FATAL,
          "the token is not initialised", INIT_TOKEN),
    UNEXPECTED_AS(0x209UL, "CKR_PARAMETER_SET_NOT_SUPPORTED"),
    OURS(P11_CONFIG, "the configuration is wrong"),
    OURS(P11_URI_INVALID, "the pkcs11: URI is not valid"),
    OURS(P11_MODULE_LOAD, "the PKCS #11 module cannot be loaded"),
    OURS(P11_NO_TOKEN, "no token matches the URI"),
    OURS(P11_MANY_TOKENS, "several tokens match the URI"),
    OURS(P11_NO_KEY, "no private key matches the URI"),
    OURS(P11_MANY_KEYS, "several private keys match the URI"),
    ROW(P11_NO_PIN, FATAL, "the token wants a PIN and nothing gives one",
        "set " PIN_OPTIONS " (CloudHSM: crypto_user:password)"),
    OURS(P11_PIN_SOURCE, "the PIN cannot be read"),
    OURS(P11_KEY_UNUSABLE, "the key's type or curve is not handled"),
    OURS(P11_KEY_NO_SIGN, "the key may not sign"),
    OURS(P11_KEY_CHANGED, "the URI now names another key"),
    /* Not LIMIT: the waiting is over. */
    OURS(P11_SESSION_WAIT, "no session became free in time"),
    OURS(P11_NO_PUBLIC, "the key's public half is not known"),
    OURS(P11_DIGEST, "the key cannot sign this digest or length"),
    OURS(P11_PARAMETER, "a parameter is not taken"),
    OURS(P11_UNSUPPORTED, "this is not offered"),
    OURS(P11_EXITING, "the process is exiting"),
    OURS(P11_NO_OBJECT, "no object matches the URI"),
    OURS(P11_MANY_OBJECTS, "several objects match the URI"),
    OURS(P11_KEY_EXISTS, "a key of that name exists already"),
    OURS(P11_KEY_EXPOSED, "the new key can leave the token"),
    ROW(P11_STALE, FATAL, "the list of objects is out of date",
        "the token was restarted since they were listed; list them again"),
    ROW(P11_LAST_TRY, PIN, "the token has one PIN try left",
        "it is not spent on a PIN that may be wrong: log in once with the "
        "token's own tool, which resets the count"),
    ROW(P11_BAD_SIGNATURE, FATAL, "the signature does not verify",
        "it was not released; take the HSM out of service until its vendor "
        "knows why, and load the key anew"),
    OURS(P11_KEY_PINNED, "the key is not the one that is pinned"),
    OURS(P11_AUDIT, "the audit log cannot be written"),
    OURS(P11_LOGIN, "the login failed"),
    ROW(P11_OVERTAKEN, BUSY, "the token loses its logins",
        "other threads log in again and again while the key is looked up: see "
        "what they report"),
    /* The last row is "unknown"; its value is no CK_RV that anyone returns. */
    NAMED(~(CK_RV)0, "unknown CK_RV", FATAL,
          "the token answers with a value of its vendor's", SEE_LOG),
};

#define NAME_SIZE 64 /* above all names of options and attributes */
#define N_ROWS    (sizeof(rows) / sizeof(rows[0]))
#define UNKNOWN   (&rows[N_ROWS - 1])

const struct p11_rv_info *p11_rv_info(CK_RV rv)
{
    const struct p11_rv_info *row = rows;

    while (row != UNKNOWN && row->rv != rv)
        row++;
    return row;
}

const struct p11_rv_info *p11_rv_table(size_t *n)
{
    *n = N_ROWS;
    return rows;
}

/* Levenshtein's distance, upper and lower case alike; len < NAME_SIZE. */
static size_t distance(const char *name, size_t len, const char *known)
{
    size_t row[NAME_SIZE]; /* from known so far to each prefix of name */
    size_t diagonal, above, i;

    for (i = 0; i <= len; i++)
        row[i] = i;
    for (; *known != '\0'; known++) {
        diagonal = row[0]++;
        for (i = 1; i <= len; i++) {
            above = row[i];
            if (strncasecmp(&name[i - 1], known, 1) != 0)
                diagonal++;
            row[i] = (above < row[i - 1] ? above : row[i - 1]) + 1;
            if (diagonal < row[i])
                row[i] = diagonal;
            diagonal = above;
        }
    }
    return row[len];
}

const char *p11_nearest(const char *name, size_t len,
                        const char *(*known)(size_t i))
{
    const char *nearest = NULL, *candidate;
    size_t best = 3; /* two slips at most */

    for (size_t i = 0; len < NAME_SIZE && (candidate = known(i)) != NULL; i++) {
        size_t d = distance(name, len, candidate);

        if (d < best && d < len && d < strlen(candidate)) {
            best = d;
            nearest = candidate;
        }
    }
    return nearest;
}

size_t p11_vformat(char *buf, size_t size, const char *format, va_list args)
{
    static const char cut[] = "...";
    int len = vsnprintf(buf, size, format, args);
    char *at;

    if (len < 0)
        buf[0] = '\0';
    else if ((size_t)len >= size)
        memcpy(buf + size - sizeof(cut), cut, sizeof(cut));
    /* Terminals obey C0, DEL, and C1, which UTF-8 writes as C2 80..9F. */
    for (at = buf; *at != '\0'; at++) {
        unsigned char c = (unsigned char)at[0], next = (unsigned char)at[1];

        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0))
            *at = '?';
    }
    return (size_t)(at - buf);
}

CK_RV p11_error_vset(struct p11_error *err, CK_RV rv, const char *format,
                     va_list args)
{
    char text[sizeof(err->text)]; /* an argument may point into err->text */

    if (err == NULL)
        return rv;
    memcpy(err->text, text, p11_vformat(text, sizeof(text), format, args) + 1);
    err->rv = rv;
    return rv;
}

CK_RV p11_error_set(struct p11_error *err, CK_RV rv, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    p11_error_vset(err, rv, format, args);
    va_end(args);
    return rv;
}

CK_RV p11_error_call(struct p11_error *err, CK_RV rv, const char *function,
                     const char *where)
{
    const struct p11_rv_info *info = p11_rv_info(rv);
    char name[32];

    (void)snprintf(name, sizeof(name), "CK_RV 0x%lx", rv);
    return p11_error_set(err, rv, "%s: %s (%s): %s", function,
                         info == UNKNOWN ? name : info->name, where, info->fix);
}
