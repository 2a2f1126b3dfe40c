/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of every CK_RV of PKCS #11 v2.40, 5.1, of v3.0 to v3.2, and of
 * our own, and the two functions that put one into words.
 *
 * The fix is written for a person who reads one line of a log at night: what
 * to change, by the names of options and files, for AWS CloudHSM and SoftHSM
 * where these differ.  The class says what the program may do by itself.  It
 * follows from what mends the failure, not from what the token calls it.
 *
 * Rows ascend by value, for bsearch().
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rv.h"

#define CLOUDHSM_LOG "/opt/cloudhsm/run/cloudhsm-pkcs11.log.<date>"
#define SEE_LOG      "see the PKCS #11 module's own log (CloudHSM: " CLOUDHSM_LOG ")"
#define PIN_OPTIONS  "pkcs11-module-token-pin, HSM_PIN or HSM_PIN_FILE"
/* The answer of a function that is never called, or of arguments never used */
#define NOT_EXPECTED                                                           \
    "no call made here should be answered so, which points to a fault of "     \
    "the PKCS #11 module; " SEE_LOG

#define ROW(value, class, reason, fix)                                         \
    {                                                                          \
        value, #value, P11_CLASS_##class, reason, fix                          \
    }
#define UNEXPECTED(value)                                                      \
    {                                                                          \
        value, #value, P11_CLASS_FATAL, "the answer does not fit the call",    \
            NOT_EXPECTED                                                       \
    }
/* A name that the system's header lacks or gives another value. */
#define NAMED(value, name, class, reason, fix)                                 \
    {                                                                          \
        value, name, P11_CLASS_##class, reason, fix                            \
    }

static const struct p11_rv_info rows[] = {
    ROW(CKR_OK, FATAL, "no error", "nothing is to be done"),
    /* A person said no: asking again unasked would be rude. */
    ROW(CKR_CANCEL, FATAL, "the call was cancelled",
        "repeat it and confirm it on the token's own keypad"),
    /* Trying again needs more memory, not less. */
    ROW(CKR_HOST_MEMORY, FATAL, "this machine is short of memory",
        "give the process or its container more memory"),
    ROW(CKR_SLOT_ID_INVALID, FATAL, "there is no such slot",
        "name the token by token= in the URI, not by slot-id=; hsmsign doctor "
        "lists the tokens"),
    /* v2.40, 5.1.1: "unrecoverable". */
    ROW(CKR_GENERAL_ERROR, FATAL, "the PKCS #11 module gives no reason",
        SEE_LOG "; SoftHSM: check SOFTHSM2_CONF and who may read the "
                "directories that it names"),
    /*
     * CloudHSM's word for busy, throttled, and "an HSM was just replaced",
     * of which AWS says that the call must be repeated.
     */
    ROW(CKR_FUNCTION_FAILED, DEVICE, "the token could not do it",
        "try again: CloudHSM answers so when it is busy, while an HSM is "
        "replaced, and until a new key is on two HSMs (a cluster of one needs "
        "configure-pkcs11 --disable-key-availability-check); " SEE_LOG),
    ROW(CKR_ARGUMENTS_BAD, FATAL, "the token refuses the arguments",
        "C_Login: CloudHSM's PIN is crypto_user:password; C_Initialize: check "
        "pkcs11-module-init-args; otherwise " SEE_LOG),
    UNEXPECTED(CKR_NO_EVENT),
    UNEXPECTED(CKR_NEED_TO_CREATE_THREADS),
    ROW(CKR_CANT_LOCK, FATAL,
        "the module cannot lock with this system's threads",
        "use a build of the PKCS #11 module that is made for threads "
        "(CKF_OS_LOCKING_OK)"),
    UNEXPECTED(CKR_ATTRIBUTE_READ_ONLY),
    UNEXPECTED(CKR_ATTRIBUTE_SENSITIVE),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, FATAL, "the token lacks an attribute",
        "name the key by object= and id= only"),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, FATAL,
        "the token refuses an attribute's value",
        "check object= and id= in the URI"),
    ROW(CKR_ACTION_PROHIBITED, FATAL, "the token's policy forbids it",
        "ask who administers the HSM; a CloudHSM key under quorum approval "
        "cannot be used through PKCS #11"),
    ROW(CKR_DATA_INVALID, FATAL, "the token refuses the data",
        "sign with another digest or padding"),
    ROW(CKR_DATA_LEN_RANGE, FATAL, "the data's length does not fit the key",
        "give a digest and not the document to a raw signature; take a "
        "shorter digest or a longer key"),
    ROW(CKR_DEVICE_ERROR, DEVICE, "the token or the way to it failed",
        "check that the HSM can be reached and is active; " SEE_LOG
        "; SoftHSM: check the token directory's disk and permissions"),
    /* Of what others may give back: sessions and session objects. */
    ROW(CKR_DEVICE_MEMORY, DEVICE, "the token is short of memory",
        "lower hsmsign-max-sessions here and in the token's other programs, "
        "then try again"),
    ROW(CKR_DEVICE_REMOVED, DEVICE, "the token was removed or lost",
        "put it back, or check the network to the HSM; " SEE_LOG),
    UNEXPECTED(CKR_ENCRYPTED_DATA_INVALID),
    UNEXPECTED(CKR_ENCRYPTED_DATA_LEN_RANGE),
    NAMED(0x42UL, "CKR_AEAD_DECRYPT_FAILED", FATAL,
          "the ciphertext is not authentic", NOT_EXPECTED),
    ROW(CKR_FUNCTION_CANCELED, FATAL, "the call was cancelled on the token",
        "repeat it and confirm it on the token's own keypad"),
    UNEXPECTED(CKR_FUNCTION_NOT_PARALLEL),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, FATAL, "the module lacks the function",
        "check that pkcs11-module-path or HSM_MODULE names the token's own "
        "library in its current release"),
    ROW(CKR_KEY_HANDLE_INVALID, HANDLE, "the key's handle is no longer valid",
        "look with hsmsign doctor --key URI whether the key is still there "
        "and, on CloudHSM, shared with the user that logs in"),
    ROW(CKR_KEY_SIZE_RANGE, FATAL, "the key's size is not allowed for this",
        "take another key; CloudHSM signs with RSA keys of 2048 to 4096 bits"),
    ROW(CKR_KEY_TYPE_INCONSISTENT, FATAL,
        "the key's type does not fit the mechanism",
        "check that the URI names the key you mean: hsmsign doctor --key URI"),
    UNEXPECTED(CKR_KEY_NOT_NEEDED),
    UNEXPECTED(CKR_KEY_CHANGED),
    UNEXPECTED(CKR_KEY_NEEDED),
    UNEXPECTED(CKR_KEY_INDIGESTIBLE),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, FATAL, "the key may not sign",
        "take a key whose CKA_SIGN is true (on CloudHSM it must be asked for "
        "when the key is made); a CloudHSM key under quorum approval cannot "
        "be used through PKCS #11"),
    UNEXPECTED(CKR_KEY_NOT_WRAPPABLE),
    UNEXPECTED(CKR_KEY_UNEXTRACTABLE),
    ROW(CKR_MECHANISM_INVALID, FATAL, "the token lacks the mechanism",
        "sign with another digest or padding, or a key of another type; "
        "pkcs11-tool --list-mechanisms shows what the token offers"),
    ROW(CKR_MECHANISM_PARAM_INVALID, FATAL,
        "the token refuses the mechanism's parameters",
        "for PSS take the same digest for MGF1 and a salt as long as the "
        "digest (rsa_pss_saltlen:digest)"),
    ROW(CKR_OBJECT_HANDLE_INVALID, HANDLE,
        "the object's handle is no longer valid",
        "look with hsmsign doctor --key URI whether the key is still there "
        "and, on CloudHSM, shared with the user that logs in"),
    /*
     * Not DEVICE, although old CloudHSM SDKs say so when they are busy: it is
     * the session that is stuck (v2.40, 5.1.6), for good with some tokens,
     * and waiting would not free it.
     */
    ROW(CKR_OPERATION_ACTIVE, SESSION, "the session is busy",
        "try again; an old CloudHSM SDK answers so under load: update it, or "
        "lower hsmsign-max-sessions"),
    /* Something between two of our calls ended what the first had begun. */
    ROW(CKR_OPERATION_NOT_INITIALIZED, SESSION, "the operation was not begun",
        "try again; if it stays, " SEE_LOG),
    ROW(CKR_PIN_INCORRECT, PIN, "the PIN is wrong",
        "correct it before the next try, since the token locks after a few: "
        "pin-value or pin-source in the URI, else " PIN_OPTIONS
        " (CloudHSM: crypto_user:password; in openssl.cnf a PIN with $ or # "
        "needs single quotes)"),
    ROW(CKR_PIN_INVALID, PIN, "the PIN has characters that are not allowed",
        "correct " PIN_OPTIONS " (CloudHSM: crypto_user:password)"),
    ROW(CKR_PIN_LEN_RANGE, PIN, "the PIN is too short or too long",
        "correct " PIN_OPTIONS " (CloudHSM: crypto_user:password, the user at "
        "most 31, the password 8 to 32 characters)"),
    ROW(CKR_PIN_EXPIRED, PIN, "the PIN has expired",
        "set a new one with the token's own tool, then change " PIN_OPTIONS),
    ROW(CKR_PIN_LOCKED, PIN, "the PIN is locked",
        "correct " PIN_OPTIONS " first, or it locks again; then have it "
        "unlocked by the security officer (CloudHSM: an admin gives the user "
        "a new password)"),
    ROW(CKR_SESSION_CLOSED, SESSION, "the session was closed",
        "try again; if it stays, check the HSM with hsmsign doctor"),
    ROW(CKR_SESSION_COUNT, LIMIT, "the token has no more sessions",
        "lower hsmsign-max-sessions below what the token allows (CloudHSM: "
        "1,024 an application), or stop other programs that use it"),
    ROW(CKR_SESSION_HANDLE_INVALID, SESSION,
        "the session's handle is no longer valid",
        "try again; if it stays, check the HSM with hsmsign doctor"),
    UNEXPECTED(CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    UNEXPECTED(CKR_SESSION_READ_ONLY),
    UNEXPECTED(CKR_SESSION_EXISTS),
    UNEXPECTED(CKR_SESSION_READ_ONLY_EXISTS),
    ROW(CKR_SESSION_READ_WRITE_SO_EXISTS, FATAL,
        "the security officer is logged in",
        "log the security officer out in the other part of this program"),
    UNEXPECTED(CKR_SIGNATURE_INVALID),
    UNEXPECTED(CKR_SIGNATURE_LEN_RANGE),
    UNEXPECTED(CKR_TEMPLATE_INCOMPLETE),
    UNEXPECTED(CKR_TEMPLATE_INCONSISTENT),
    ROW(CKR_TOKEN_NOT_PRESENT, DEVICE, "there is no token in the slot",
        "insert it; CloudHSM: check the cluster with configure-pkcs11; "
        "SoftHSM: check SOFTHSM2_CONF"),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, DEVICE, "the module does not know the token",
        "insert the token firmly, and check that pkcs11-module-path or "
        "HSM_MODULE names the module that is made for it"),
    ROW(CKR_TOKEN_WRITE_PROTECTED, FATAL, "the token is write-protected",
        "take the write protection off: sessions are opened read-write, as "
        "CloudHSM requires, although nothing is written"),
    UNEXPECTED(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    UNEXPECTED(CKR_UNWRAPPING_KEY_SIZE_RANGE),
    UNEXPECTED(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    /* Success for whoever wanted to be logged in, and treated so there. */
    ROW(CKR_USER_ALREADY_LOGGED_IN, FATAL, "the user is already logged in",
        "nothing is to be done: a login holds for the whole process"),
    ROW(CKR_USER_NOT_LOGGED_IN, LOGIN, "nobody is logged in to the token",
        "give the PIN by " PIN_OPTIONS),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, FATAL, "the token has no user PIN yet",
        "set one with the token's own tool (SoftHSM: softhsm2-util "
        "--init-token)"),
    ROW(CKR_USER_TYPE_INVALID, FATAL, "the token lacks this kind of login",
        "take a key without CKA_ALWAYS_AUTHENTICATE"),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, FATAL,
        "another user is logged in to the token",
        "log that user out in the other part of this program"),
    ROW(CKR_USER_TOO_MANY_TYPES, FATAL, "too many kinds of user are logged in",
        "log the others out in the other part of this program"),
    UNEXPECTED(CKR_WRAPPED_KEY_INVALID),
    UNEXPECTED(CKR_WRAPPED_KEY_LEN_RANGE),
    UNEXPECTED(CKR_WRAPPING_KEY_HANDLE_INVALID),
    UNEXPECTED(CKR_WRAPPING_KEY_SIZE_RANGE),
    UNEXPECTED(CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
    UNEXPECTED(CKR_RANDOM_SEED_NOT_SUPPORTED),
    ROW(CKR_RANDOM_NO_RNG, FATAL, "the token has no random numbers",
        "take another padding or key type, or another token"),
    ROW(CKR_DOMAIN_PARAMS_INVALID, FATAL, "the key's domain is not supported",
        "take a key on a curve that the token supports"),
    ROW(CKR_CURVE_NOT_SUPPORTED, FATAL, "the token lacks the key's curve",
        "take a key on a curve that the token supports"),
    ROW(CKR_BUFFER_TOO_SMALL, FATAL, "the token's answer is too long",
        "check that the URI names the key you mean: its signature is longer "
        "than its public half says"),
    UNEXPECTED(CKR_SAVED_STATE_INVALID),
    UNEXPECTED(CKR_INFORMATION_SENSITIVE),
    UNEXPECTED(CKR_STATE_UNSAVEABLE),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, LIBRARY,
        "the PKCS #11 module is not initialised",
        "look for another part of this program that calls C_Finalize on the "
        "same module while it is in use"),
    /* Success for whoever wanted it initialised, and treated so there. */
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, FATAL,
        "the PKCS #11 module is already initialised",
        "nothing is to be done: the module is shared with the application"),
    UNEXPECTED(CKR_MUTEX_BAD),
    UNEXPECTED(CKR_MUTEX_NOT_LOCKED),
    UNEXPECTED(CKR_NEW_PIN_MODE),
    UNEXPECTED(CKR_NEXT_OTP),
    /*
     * The standard's numbers for the next five (v2.40's pkcs11t.h), and
     * further below those that p11-kit's header gives to the same names.
     * Tokens use the former, modules made with p11-kit the latter.
     */
    NAMED(0x1b5UL, "CKR_EXCEEDED_MAX_ITERATIONS", FATAL,
          "an algorithm ran too long", NOT_EXPECTED),
    NAMED(0x1b6UL, "CKR_FIPS_SELF_TEST_FAILED", FATAL,
          "the token's self-test failed",
          "take the HSM out of service and ask its vendor; " SEE_LOG),
    NAMED(0x1b7UL, "CKR_LIBRARY_LOAD_FAILED", FATAL,
          "the module cannot load a library that it needs",
          "run ldd on the file that pkcs11-module-path names"),
    NAMED(0x1b8UL, "CKR_PIN_TOO_WEAK", PIN, "the PIN is too weak",
          "set a stronger one with the token's own tool, then "
          "change " PIN_OPTIONS),
    NAMED(0x1b9UL, "CKR_PUBLIC_KEY_INVALID", FATAL,
          "the public key is not valid", NOT_EXPECTED),
    NAMED(0x1c0UL, "CKR_EXCEEDED_MAX_ITERATIONS", FATAL,
          "an algorithm ran too long", NOT_EXPECTED),
    NAMED(0x1c1UL, "CKR_FIPS_SELF_TEST_FAILED", FATAL,
          "the token's self-test failed",
          "take the HSM out of service and ask its vendor; " SEE_LOG),
    NAMED(0x1c2UL, "CKR_LIBRARY_LOAD_FAILED", FATAL,
          "the module cannot load a library that it needs",
          "run ldd on the file that pkcs11-module-path names"),
    NAMED(0x1c3UL, "CKR_PIN_TOO_WEAK", PIN, "the PIN is too weak",
          "set a stronger one with the token's own tool, then "
          "change " PIN_OPTIONS),
    NAMED(0x1c4UL, "CKR_PUBLIC_KEY_INVALID", FATAL,
          "the public key is not valid", NOT_EXPECTED),
    ROW(CKR_FUNCTION_REJECTED, FATAL, "the token or its user rejected it",
        "confirm it on the token, or ask who administers it"),
    /* Like CKR_DEVICE_MEMORY: what is short now may be there in a moment. */
    ROW(CKR_TOKEN_RESOURCE_EXCEEDED, DEVICE, "the token is short of resources",
        "lower hsmsign-max-sessions here and in the token's other programs, "
        "then try again"),
    UNEXPECTED(CKR_OPERATION_CANCEL_FAILED),
    ROW(CKR_KEY_EXHAUSTED, FATAL, "the key has signed as often as it may",
        "make a new key: its kind has a limited number of signatures"),
    UNEXPECTED(CKR_PENDING),
    UNEXPECTED(CKR_SESSION_ASYNC_NOT_SUPPORTED),
    NAMED(0x206UL, "CKR_SEED_RANDOM_REQUIRED", FATAL,
          "the token's generator needs a seed",
          "seed it with the token's own tool"),
    NAMED(0x207UL, "CKR_OPERATION_NOT_VALIDATED", FATAL,
          "the token's FIPS policy forbids it",
          "sign with another digest, padding or key"),
    NAMED(0x208UL, "CKR_TOKEN_NOT_INITIALIZED", FATAL,
          "the token is not initialised",
          "initialise it with its own tool (SoftHSM: softhsm2-util "
          "--init-token)"),
    NAMED(0x209UL, "CKR_PARAMETER_SET_NOT_SUPPORTED", FATAL,
          "the token lacks the key's parameter set",
          "take a key of a parameter set that the token supports"),
    ROW(P11_CONFIG, FATAL, "the configuration is wrong",
        "hsmsign doctor --config FILE checks all options"),
    ROW(P11_URI_INVALID, FATAL, "the pkcs11: URI is not valid",
        "correct it; in a shell it needs single quotes because of its ;"),
    ROW(P11_MODULE_LOAD, FATAL, "the PKCS #11 module cannot be loaded",
        "set pkcs11-module-path or HSM_MODULE to the token's PKCS #11 library"),
    ROW(P11_NO_TOKEN, FATAL, "no token matches the URI",
        "compare the URI with the tokens that hsmsign doctor lists"),
    ROW(P11_MANY_TOKENS, FATAL, "several tokens match the URI",
        "add token= or serial= to the URI"),
    ROW(P11_NO_KEY, FATAL, "no private key matches the URI",
        "check object= and id= with hsmsign doctor --key URI; on CloudHSM the "
        "key must belong to, or be shared with, the user that logs in"),
    ROW(P11_MANY_KEYS, FATAL, "several private keys match the URI",
        "add id= or object= to the URI"),
    ROW(P11_NO_PIN, FATAL, "the token wants a PIN and nothing gives one",
        "set " PIN_OPTIONS " (CloudHSM: crypto_user:password)"),
    ROW(P11_PIN_SOURCE, FATAL, "the PIN cannot be read",
        "give a file that this process may read, with the PIN as its first "
        "line, or set HSM_PIN"),
    ROW(P11_KEY_UNUSABLE, FATAL, "the key's type or curve is not handled",
        "take an RSA, EC (P-256, P-384, P-521) or Ed25519 key"),
    ROW(P11_KEY_NO_SIGN, FATAL, "the key may not sign",
        "take a key whose CKA_SIGN is true (on CloudHSM it must be asked for "
        "when the key is made)"),
    ROW(P11_KEY_CHANGED, FATAL, "the URI now names another key",
        "name the key by id=; if it was replaced on purpose, restart this "
        "program"),
    /* Not LIMIT: the waiting is over. */
    ROW(P11_SESSION_WAIT, FATAL, "no session became free in time",
        "raise hsmsign-max-sessions or use fewer threads; hsmsign-log = "
        "file:PATH,debug shows how long each call takes"),
    ROW(P11_NO_PUBLIC, FATAL, "the key's public half is not known",
        "name its certificate or public key in hsmsign-public-file"),
    ROW(P11_DIGEST, FATAL, "the key cannot sign this digest or length",
        "take a digest that fits the key"),
    ROW(P11_PARAMETER, FATAL, "a parameter is not taken",
        "leave it out, or give it another value"),
    ROW(P11_UNSUPPORTED, FATAL, "this is not offered",
        "do it with the public key and OpenSSL's own provider where possible"),
    ROW(P11_EXITING, FATAL, "the process is exiting",
        "finish signing before exit() is called"),
    /* The last row is "unknown"; its value is no CK_RV that anyone returns. */
    NAMED(~(CK_RV)0, "unknown CK_RV", FATAL,
          "the token answers with a value of its vendor's", SEE_LOG),
};

#define N_ROWS  (sizeof(rows) / sizeof(rows[0]))
#define UNKNOWN (&rows[N_ROWS - 1])

static int compare(const void *key, const void *row)
{
    CK_RV a = *(const CK_RV *)key;
    CK_RV b = ((const struct p11_rv_info *)row)->rv;

    return (a > b) - (a < b);
}

const struct p11_rv_info *p11_rv_info(CK_RV rv)
{
    const struct p11_rv_info *row =
        bsearch(&rv, rows, N_ROWS, sizeof(rows[0]), compare);

    return row != NULL ? row : UNKNOWN;
}

const struct p11_rv_info *p11_rv_table(size_t *n)
{
    *n = N_ROWS;
    return rows;
}

/* Labels come from the token: they must not break the line, nor a terminal. */
static void one_line(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

CK_RV p11_error_vset(struct p11_error *err, CK_RV rv, const char *format,
                     va_list args)
{
    static const char cut[] = "...";
    char text[sizeof(err->text)]; /* an argument may point into err->text */
    int len;

    if (err == NULL)
        return rv;
    len = vsnprintf(text, sizeof(text), format, args);
    if (len < 0)
        text[0] = '\0';
    if (len >= (int)sizeof(text))
        memcpy(text + sizeof(text) - sizeof(cut), cut, sizeof(cut));
    one_line(text);
    memcpy(err->text, text, strlen(text) + 1);
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
    bool has_where = where != NULL && where[0] != '\0';
    char name[sizeof("CK_RV 0x") + 2 * sizeof(rv)];
    const char *shown = info->name;

    if (info == UNKNOWN) {
        (void)snprintf(name, sizeof(name), "CK_RV 0x%lx", rv);
        shown = name;
    }
    return p11_error_set(err, rv, "%s: %s%s%s%s: %s", function, shown,
                         has_where ? " (" : "", has_where ? where : "",
                         has_where ? ")" : "", info->fix);
}
