/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the provider begin with: a library context of their own
 * with "default" and hsmsign, keys on the token by name, their software twins,
 * and another library context, without hsmsign, that verifies.
 *
 * Functions that assert are for the thread that runs the test, in the process
 * that runs it: cmocka knows no other.  Those that return bool assert nothing.
 *
 * libcrypto 3.0 numbers the libraries of its error queue in a byte, and takes
 * four numbers for each context here: after 30 contexts in one process the
 * names of libraries are wrong.
 *
 * From the environment: HSMSIGN_PROVIDER, HSMSIGN_TOKEN (what make_token.sh
 * made), SOFTHSM2_MODULE; HSMSIGN_FAKE where it is used.  All must be there:
 * without them the tests fail.
 */
#ifndef HSMSIGN_TEST_PROVIDER_FIXTURE_H
#define HSMSIGN_TEST_PROVIDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/types.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* The longest signature of any key here, with room to spare. */
#define FIXTURE_SIGNATURE_MAX 5120

/* For keys and options on the token "demo". */
#define FIXTURE_URI "pkcs11:token=demo;object="
#define FIXTURE_PIN "pkcs11-module-token-pin = 1234\n"

/*
 * First in main: TAP, and no HSM_ or HSMSIGN_LOG variable or configuration of
 * whoever runs the test.
 */
void fixture_begin(void);
/* Whether the libcrypto that runs is that version or a newer one. */
bool fixture_is_openssl(unsigned major, unsigned minor);
/* A variable of the environment, or the test fails. */
const char *fixture_required(const char *name);

/*
 * Instead of running them, say that all n tests are skipped, and why: in TAP
 * that counts, since cmocka 1.1 says "not ok" of what it skips.  Returns what
 * main does.
 */
int fixture_skip(const struct CMUnitTest *tests, size_t n, const char *why);

/* A new library context, configured by what openssl.cnf could hold. */
OSSL_LIB_CTX *fixture_configured(const char *text);
/*
 * A new library context with "default" and hsmsign, which is activated under
 * that name with options: lines "name = value" of a configuration section.
 */
OSSL_LIB_CTX *fixture_context(const char *name, const char *options);
/* The same as "hsmsign", with module as pkcs11-module-path. */
OSSL_LIB_CTX *fixture_module(const char *module, const char *options);
/* The same with SoftHSM; "" for no more options. */
OSSL_LIB_CTX *fixture_softhsm(const char *options);

/* What the URI names, or NULL with the reason in the error queue. */
EVP_PKEY *fixture_load(OSSL_LIB_CTX *ctx, const char *uri);
/* The key called name on the token "demo". */
EVP_PKEY *fixture_key(OSSL_LIB_CTX *ctx, const char *name);

/* A library context with "default" alone, for all tests of the process. */
OSSL_LIB_CTX *fixture_software(void);
/* The same key in software; its public half; its certificate. */
EVP_PKEY *fixture_twin(const char *name);
EVP_PKEY *fixture_public(const char *name);
X509 *fixture_certificate(const char *name);
/* The path of a file of the token's directory. */
void fixture_path(char *path, size_t size, const char *name, const char *end);

/* Sign a message in one go; md NULL for none.  Returns the length, 0 failed. */
size_t fixture_sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *md,
                    unsigned char sig[FIXTURE_SIGNATURE_MAX]);
/* Whether that signature is right, by "default" and public alone. */
bool fixture_verify(EVP_PKEY *public, const char *md, const unsigned char *sig,
                    size_t len);
/* "SHA256", or NULL for a key that signs the message itself. */
const char *fixture_digest(EVP_PKEY *key);
/* Both at once, with SHA-256 where the key takes a digest. */
bool fixture_signs(OSSL_LIB_CTX *ctx, EVP_PKEY *key, EVP_PKEY *public);
/*
 * For threads of a process that forks or exits meanwhile: libcrypto's own
 * locks and tables are not made for that, so that nothing is fetched or
 * allocated by it after fixture_signer(), which asserts.  signer is to be
 * freed.  fixture_sign_quietly() signs with SHA-256 and returns the length, 0
 * failed.
 */
EVP_PKEY_CTX *fixture_signer(OSSL_LIB_CTX *ctx, EVP_PKEY *key);
size_t fixture_sign_quietly(EVP_PKEY_CTX *signer,
                            unsigned char sig[FIXTURE_SIGNATURE_MAX]);
/* The message that all these sign. */
extern const unsigned char fixture_message[];
extern const size_t fixture_message_len;

/* What is in the error queue. */
struct fixture_errors {
    size_t count;                                            /* of all */
    size_t ours;                                             /* of hsmsign's */
    char library[64], reason[128], function[64], text[1024]; /* our first */
    char all[4096]; /* every line, for messages */
};

/*
 * Read and empty the queue; our library's name is the provider's.  What
 * libcrypto says after ours because of ours, "provider signature failure", is
 * not counted: 3.0 says nothing there.
 */
void fixture_take_errors(const char *provider, struct fixture_errors *errors);
/*
 * The queue holds one error of ours (of others at most `others`), with that
 * reason and all words (NULL after the last) in its text.  Empties it.
 */
void fixture_assert_error(size_t others, const char *reason, ...)
    __attribute__((sentinel));
/* Nothing is in the queue. */
void fixture_assert_no_error(void);

/*
 * A group's set-up: hsmsign.so stays loaded until exit.  ThreadSanitizer's
 * atexit() does not know that a module is gone, and calls its handlers where
 * they were; other tests see that it can be unloaded.
 */
int fixture_keep_provider(void **state);

/* A new directory, removed with what is in it at exit of this process. */
const char *fixture_directory(void);
/* Write text to a new file of that name in it, mode 0600; fills path. */
void fixture_write(char path[256], const char *name, const char *text);

/*
 * Make SoftHSM use a copy of the tokens that is this process's and its
 * children's alone: it writes to a token at every login, and another process
 * that starts just then does not see that token.  fixture_softhsm() does so.
 */
void fixture_copy_token(void);

/* Wait for a child: its exit status, 256 + signal, or -1 after a minute. */
int fixture_wait(pid_t pid);

#endif
