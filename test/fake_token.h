/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token: a CK_FUNCTION_LIST in C for unit tests.  A test scripts what
 * the token holds and how calls fail, and afterwards reads which calls came.
 * The fake knows PKCS #11's rules about order, sessions, login and handles; it
 * has no cryptography: the test's own callback makes signatures.
 *
 *     struct fake *fake = fake_get();
 *     CK_FUNCTION_LIST *p11 = fake_function_list();
 *
 *     fake_reset(fake);                      (one token "fake", PIN "1234")
 *     fake_add_key(fake, 0, &some_key);
 *     fake_fail(fake, "C_Sign", CKR_DEVICE_ERROR, 1, 1);
 *     ... the code under test calls p11 ...
 *     fake_calls(fake, buf, sizeof(buf));    ("C_SignInit C_Sign")
 *
 * C_ functions have no user pointer, so there is one fake per copy of this
 * code in a process: one linked into the test program, and one in each shared
 * module built with fake_module.c, whose fake the test reaches by
 * dlsym("fake_get").  Every function here works with either.
 *
 * The C_ functions and all functions here may be called by any number of
 * threads (one mutex), but fake_reset and the profiles only when no call is
 * under way.  The fields of struct fake above "state" are the test's to set
 * before its threads begin.
 *
 *   fake_token.c    the function list; library and slots
 *   fake_session.c  sessions and login
 *   fake_object.c   objects, attributes, searches and signatures
 *   fake_script.c   what a test calls: the functions below
 *   fake_profile.c  the profiles, and a key as each of them shows it
 */
#ifndef HSMSIGN_TEST_FAKE_TOKEN_H
#define HSMSIGN_TEST_FAKE_TOKEN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include "../pkcs11/cryptoki.h"

enum {
    FAKE_MAX_SLOTS = 8,
    FAKE_MAX_OBJECTS = 320,
    FAKE_MAX_ATTRIBUTES = 32, /* of one object */
    FAKE_MAX_MECHANISMS = 16,
    FAKE_MAX_PARAMETER = 64, /* of a mechanism, bytes */
    FAKE_MAX_SESSIONS = 1024,
    FAKE_MAX_RULES = 16,
    FAKE_MAX_TYPES = 32, /* attribute types that the log keeps of one call */
    FAKE_MAX_SIGNATURE = 8192
};

/* What one kind of token does differently, and nothing else. */
struct fake_profile {
    const char *name;
    CK_SLOT_ID first_slot;    /* the others count on from it */
    CK_FLAGS token_flags;     /* of CK_TOKEN_INFO */
    bool fixed_flags;         /* no CKF_USER_PIN_LOCKED and its kin */
    bool read_write_only;     /* else CKR_FUNCTION_FAILED */
    bool no_callback;         /* Notify and pApplication NULL, else 0x7 */
    bool hidden_before_login; /* objects that are not CKA_PRIVATE too */
    bool login_outlives;      /* the last session */
    bool user_in_pin;         /* "user:password", else 0x7 */
    bool pair_by_check_value; /* no CKA_ID, labels that differ */
    unsigned pin_tries;       /* until the PIN is locked; 0: never */
    const char *label;        /* of the first token */
    const char *pin;          /* of the first token */
    const CK_ATTRIBUTE_TYPE *unsupported; /* by any key; ends with -1 */
    const CK_ATTRIBUTE_TYPE *not_private; /* by private keys; ends with -1 */
    const CK_MECHANISM_TYPE *mechanisms;  /* ends with -1 */
};

/* A slot with (or without) a token; the test may set all but the state. */
struct fake_slot {
    CK_SLOT_ID id;
    bool token_present;
    char description[65], slot_manufacturer[33];
    char label[33], manufacturer[33], model[17], serial[17];
    CK_FLAGS flags;
    char pin[256];
    unsigned pin_tries; /* until the PIN is locked; 0: never */
    CK_RV pinpad;       /* what a C_Login without PIN answers where the flags
                           say CKF_PROTECTED_AUTHENTICATION_PATH */
    /* state */
    unsigned bad_pins;
    bool logged_in;
};

/* An attribute of an object, as a test gives it. */
struct fake_attribute {
    CK_ATTRIBUTE_TYPE type;
    const void *value;
    size_t len;
};

struct fake_object {
    bool present;
    size_t number; /* as fake_add_object returned it */
    size_t slot;   /* index */
    CK_OBJECT_HANDLE handle;
    size_t n;
    CK_ATTRIBUTE attributes[FAKE_MAX_ATTRIBUTES]; /* values are our copies */
};

/* A call, as the log keeps it: what does not apply is 0. */
struct fake_call {
    const char *function; /* "C_Sign" */
    CK_RV rv;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;     /* the key of C_SignInit */
    CK_MECHANISM_TYPE mechanism; /* of C_SignInit */
    CK_USER_TYPE user;           /* of C_Login */
    bool pin_given;              /* of C_Login */
    CK_FLAGS flags;              /* of C_OpenSession, C_Initialize */
    bool asked_private;          /* see fake_asked_private */
    size_t n_types; /* of the template; the first FAKE_MAX_TYPES are kept */
    CK_ATTRIBUTE_TYPE types[FAKE_MAX_TYPES];
};

/* See fake_fail. */
struct fake_rule {
    const char *function;
    CK_RV rv;
    unsigned long first, count, seen;
};

struct fake_session {
    CK_SESSION_HANDLE handle; /* CK_INVALID_HANDLE: free */
    size_t slot;              /* index */
    CK_FLAGS flags;
    bool busy; /* a C_Sign is in the callback */
    bool finding;
    size_t n_found, next_found;
    CK_OBJECT_HANDLE found[FAKE_MAX_OBJECTS];
    bool signing, authenticated; /* authenticated: by context-specific login */
    CK_OBJECT_HANDLE key;
    CK_MECHANISM mechanism; /* its parameter is our copy, below */
    unsigned char parameter[FAKE_MAX_PARAMETER];
};

struct fake;

/*
 * Makes a signature: writes at most FAKE_MAX_SIGNATURE bytes to sig and their
 * number to *siglen.  Runs without the fake's mutex, so that signatures of
 * several sessions overlap, and may call any function of this file.
 */
typedef CK_RV fake_sign_fn(struct fake *fake, const struct fake_object *key,
                           const CK_MECHANISM *mechanism,
                           const unsigned char *data, size_t len,
                           unsigned char *sig, size_t *siglen);

/* Runs at the start of each C_ call, without the mutex: to wait, or to lose. */
typedef void fake_before_fn(struct fake *fake, const char *function, void *arg);

struct fake {
    /* The function list under test: a test may set an entry to NULL. */
    CK_FUNCTION_LIST list;
    /* C_GetInfo */
    char manufacturer[33], description[33];
    CK_VERSION library_version;

    size_t n_slots;
    struct fake_slot slots[FAKE_MAX_SLOTS];
    size_t n_mechanisms;
    CK_MECHANISM_TYPE mechanisms[FAKE_MAX_MECHANISMS];
    unsigned long max_sessions; /* per slot; CKR_SESSION_COUNT beyond */
    CK_RV lost_session;         /* what a handle of no open session answers */
    bool failed_sign_keeps_operation; /* a C_Sign that a rule fails */
    bool child_inherits; /* fork: as SoftHSM, the child goes on (0x191, 0x100);
                            else it begins with CKR_CRYPTOKI_NOT_INITIALIZED */
    fake_sign_fn *sign;  /* fake_sign_echo by default */
    void *sign_arg;      /* for sign's own use */
    fake_before_fn *before; /* or NULL */
    void *before_arg;

    /* state: read it by the functions below */
    pthread_mutex_t lock;
    const struct fake_profile *profile;
    const CK_FUNCTION_LIST *pristine;
    bool initialized;
    bool dead;
    unsigned active; /* calls under way */
    unsigned long violations;
    unsigned long last_handle; /* of sessions and objects: none comes twice */
    char init_args[256];       /* CK_C_INITIALIZE_ARGS.pReserved */
    struct fake_object objects[FAKE_MAX_OBJECTS];
    struct fake_session sessions[FAKE_MAX_SESSIONS];
    size_t n_rules;
    struct fake_rule rules[FAKE_MAX_RULES];
    size_t n_calls, room; /* of the log */
    struct fake_call *calls;
};

/*
 * This copy's fake, ready for use: as fake_reset leaves it.  The first call
 * also registers fork handlers, so call it before the code under test does.
 */
struct fake *fake_get(void);

/* One copy's functions must not be taken for another's: only fake_get shows. */
#pragma GCC visibility push(hidden)

/* Its list, which C_GetFunctionList answers too. */
CK_FUNCTION_LIST *fake_function_list(void);

extern const struct fake_profile fake_standard;
extern const struct fake_profile fake_cloudhsm;

/*
 * Forget everything and begin again: not initialised, one slot with a token,
 * no objects, no rules, an empty log.  All values that were handed out become
 * invalid.  fake_reset is the standard profile (label "fake", PIN "1234").
 */
void fake_reset_to(struct fake *fake, const struct fake_profile *profile);
void fake_reset(struct fake *fake);
/* AWS CloudHSM as far as it is known (label "hsm1", PIN "user:password"). */
void fake_profile_cloudhsm(struct fake *fake);

/* Another slot with a token like the first; the test changes what it likes. */
struct fake_slot *fake_add_slot(struct fake *fake, const char *label,
                                const char *serial);

/*
 * An object of slots[slot] with copies of n attributes.  Everything is answered
 * as given, except what the profile hides and, where CKA_SENSITIVE is true,
 * private components (CKR_ATTRIBUTE_SENSITIVE).  Returns the object's number,
 * which stays the same while its handle is lost and renewed.
 */
size_t fake_add_object(struct fake *fake, size_t slot,
                       const struct fake_attribute *attributes, size_t n);
CK_OBJECT_HANDLE fake_handle(struct fake *fake, size_t object);
void fake_remove_object(struct fake *fake, size_t object);
/* Add an attribute or change its value; value NULL removes it. */
void fake_set_attribute(struct fake *fake, size_t object,
                        CK_ATTRIBUTE_TYPE type, const void *value, size_t len);
/* For a sign callback, whose key does not go away; NULL when there is none. */
const CK_ATTRIBUTE *fake_attribute(const struct fake_object *object,
                                   CK_ATTRIBUTE_TYPE type);

struct fake_bytes {
    const void *data;
    size_t len;
};

/* A key pair, which fake_add_key turns into objects as the profile has them. */
struct fake_key {
    CK_KEY_TYPE type;
    const char *label;    /* CloudHSM: LABEL_private and LABEL_pub */
    struct fake_bytes id; /* CloudHSM: empty */
    struct fake_bytes modulus, exponent;   /* RSA */
    struct fake_bytes ec_params, ec_point; /* CKK_EC, CKK_EC_EDWARDS */
    CK_ULONG parameter_set;                /* CKK_ML_DSA; 0: none */
    struct fake_bytes value;               /* of the public half, the same */
    struct fake_bytes info; /* CKA_PUBLIC_KEY_INFO of the private half */
    struct fake_bytes check_value;
    bool no_public;           /* only the private half is on the token */
    bool point_on_private;    /* standard profile: CKA_EC_POINT there too */
    bool no_sign;             /* CKA_SIGN is false */
    bool always_authenticate; /* standard profile */
};

/* Numbers of objects; public_key is FAKE_MAX_OBJECTS when there is none. */
struct fake_pair {
    size_t private_key, public_key;
};

struct fake_pair fake_add_key(struct fake *fake, size_t slot,
                              const struct fake_key *key);

/*
 * Calls of function number first to first + count - 1, counted from now on
 * with 1 as the next, answer rv and do nothing else (a C_Sign ends its
 * operation).  count 0 means for ever.  The first rule that fits counts.  An
 * unknown function aborts: a typo must not make a test pass.
 */
void fake_fail(struct fake *fake, const char *function, CK_RV rv,
               unsigned long first, unsigned long count);
void fake_fail_none(struct fake *fake); /* drop all rules */

enum {
    FAKE_SESSIONS = 1, /* every session handle answers lost_session */
    FAKE_LOGIN = 2,    /* no token is logged in */
    FAKE_HANDLES = 4   /* every object has a new handle */
};

/* Lose what the mask says and nothing else, as a token that was restarted. */
void fake_lose(struct fake *fake, unsigned what);

/* Until C_Finalize all answer CKR_DEVICE_ERROR, as if a server was restarted */
void fake_kill(struct fake *fake);

/* The log since the last fake_reset or fake_calls_reset. */
void fake_calls_reset(struct fake *fake);
/* "C_SignInit C_Sign" in buf, which is returned; aborts if it is too small. */
const char *fake_calls(struct fake *fake, char *buf, size_t size);
/* How many calls of function, or of all with NULL. */
size_t fake_count(struct fake *fake, const char *function);
/* The n-th call (from 0) of function (NULL: of all), copied; false: none. */
bool fake_call(struct fake *fake, const char *function, size_t n,
               struct fake_call *call);
/* How many C_GetAttributeValue calls asked for type. */
size_t fake_asked(struct fake *fake, CK_ATTRIBUTE_TYPE type);
/* How many asked a private or secret key for a private component of it. */
size_t fake_asked_private(struct fake *fake);

size_t fake_open_sessions(struct fake *fake);
bool fake_logged_in(struct fake *fake, size_t slot);
/*
 * What an application must not do and the fake has seen since the reset: two
 * calls at once on one session, C_Finalize during another call.
 */
unsigned long fake_violations(struct fake *fake);

/* The mechanism in two bytes, then the data: one sees what came. */
CK_RV fake_sign_echo(struct fake *fake, const struct fake_object *key,
                     const CK_MECHANISM *mechanism, const unsigned char *data,
                     size_t len, unsigned char *sig, size_t *siglen);

#pragma GCC visibility pop

#endif
