/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of pkcs11/ against the fake token share.
 *
 * The fake is a module of its own (HSMSIGN_FAKE names its file), so that
 * p11_module_open() loads it as it loads any other; its state is reached by
 * dlsym("fake_get").  The fake's signature names the key and holds the data,
 * so that each signature proves which key signed what.
 *
 * cmocka's assertions are for the main thread alone: a thread reports what
 * went wrong by fixture_failed().  Include after <cmocka.h>.
 */
#ifndef HSMSIGN_TEST_FIXTURE_H
#define HSMSIGN_TEST_FIXTURE_H

#include <stdatomic.h>
#include "../../pkcs11/key.h"
#include "../../pkcs11/slot.h"
#include "../fake_token.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define PIN   "1234"
#define URI   "pkcs11:token=fake;object=signer"
#define LABEL "signer"
#define LOAD_CALLS                                                             \
    "C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_GetAttributeValue"
#define SIGN_CALLS "C_SignInit C_Sign"

/* An RSA key "signer" with id 01; an EC key "ec" with id 02. */
extern const struct fake_key fixture_rsa, fixture_ec;

struct fixture {
    char path[400]; /* of the fake module, or of its copy */
    char dir[256];  /* where that copy is; "" for none */
    void *dl;       /* keeps the fake's state beyond p11_module_close() */
    struct fake *fake;
    struct p11_module_config config;
    struct p11_module *module; /* NULL until fixture_open() */
    struct fake_pair pair;     /* of fixture_setup_key() */
    struct p11_key *key;       /* freed by the teardown; may be NULL */
    struct p11_error err;
    char calls[8192]; /* for fixture_calls() */
    atomic_bool done; /* for threads that go on until told */
    pthread_mutex_t lock;
    unsigned failures; /* of threads, with the first one's reason */
    char reason[800];
};

/* cmocka's.  The standard profile; the module is not open yet. */
int fixture_setup(void **state);
/* And one token "fake" with fixture_rsa in it, the module open. */
int fixture_setup_open(void **state);
/* And that key loaded, the log empty. */
int fixture_setup_key(void **state);
int fixture_teardown(void **state);

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define TEST_OPEN(name)                                                        \
    cmocka_unit_test_setup_teardown(name, fixture_setup_open, fixture_teardown)
#define TEST_KEY(name)                                                         \
    cmocka_unit_test_setup_teardown(name, fixture_setup_key, fixture_teardown)

/* Begin again with this profile; only while the module is not open. */
void fixture_reset(struct fixture *f, const struct fake_profile *profile);
/* The fake of the module at path, and a reference to that module. */
struct fake *fixture_fake(const char *path, void **dl);
/* Go on with a copy of the module under this name, in a directory of its own */
void fixture_copy_module(struct fixture *f, const char *name);
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);

/* p11_slot_find() for this URI; f->err is filled. */
CK_RV fixture_find(struct fixture *f, const char *uri, struct p11_slot **slot);
/* The slot of the token "fake". */
struct p11_slot *fixture_slot(struct fixture *f);

/*
 * p11_key_load() with a PIN as from the configuration (NULL: none).  *key is
 * NULL unless CKR_OK.  For any thread; err may be f->err's or its own.
 */
CK_RV fixture_load(struct fixture *f, const char *uri, const char *pin,
                   struct p11_key **key, struct p11_error *err);

/*
 * One signature over data of its own.  CKR_SIGNATURE_INVALID if it is not
 * that of the key with this label over that data.  For any thread.
 */
CK_RV fixture_sign(struct p11_key *key, const char *label,
                   struct p11_error *err);

/* What was called since fake_calls_reset(), as words. */
const char *fixture_calls(struct fixture *f);

#define assert_calls(f, want) assert_string_equal(fixture_calls(f), want)
#define assert_no_call(f)     assert_string_equal(fixture_calls(f), "")
#define assert_text(f, part)  fixture_assert_text((f)->err.text, part)
#define assert_rv(f, got, want)                                                \
    fixture_assert_rv(f, got, want, __FILE__, __LINE__)

void fixture_assert_text(const char *text, const char *part);
/* Shows f->err.text when it fails. */
void fixture_assert_rv(struct fixture *f, CK_RV got, CK_RV want,
                       const char *file, int line);

/* f->key signs. */
#define assert_signs(f)                                                        \
    assert_rv(f, fixture_sign((f)->key, LABEL, &(f)->err), CKR_OK)

/* What thread number i (from 0) does. */
typedef void fixture_thread(struct fixture *f, size_t i);

/* Let n threads begin together, and wait until all have ended. */
void fixture_threads(struct fixture *f, size_t n, fixture_thread *run);
/* In a thread, and in a hook of the fake: which one; -1 in the main thread. */
int fixture_thread_number(void);
/* For threads: something went wrong; err may be NULL. */
void fixture_failed(struct fixture *f, const char *what,
                    const struct p11_error *err);
/* No thread reported a failure, nor did the fake see a rule broken. */
void fixture_assert_no_failure(struct fixture *f);

/* A place where threads wait until another one opens it; all zero is shut. */
struct latch {
    atomic_bool open;
};

void latch_open(struct latch *latch);
/* Wait at most ms milliseconds; whether it was opened. */
bool latch_wait(struct latch *latch, unsigned ms);

#endif
