/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign, the command-line signer: what its files share.
 *
 * hsmsign_sign.c is the signer, written to be read and copied; it needs the
 * part of this header up to "The program around it" and OpenSSL.  Everything
 * else is options, files and messages.
 *
 * One convention: a function returns 1, or 0 after it raised the reason on
 * OpenSSL's error queue.  Only the cmd_ functions return an exit status.
 */
#ifndef HSMSIGN_TOOL_H
#define HSMSIGN_TOOL_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ui.h>
#include <openssl/x509.h>

/* Who signs, and how.  Nothing in it is owned by the functions it goes to. */
struct signer {
    EVP_PKEY *key;    /* private; on a token or in memory */
    const EVP_MD *md; /* of the document; raw EdDSA, ML-DSA ignore it */
    bool pss;         /* RSA: PSS, salt as long as the digest, same MGF1 */
    X509 *cert;       /* of key; raw does not look at it */
    STACK_OF(X509) * chain; /* further certificates for inside; may be NULL */
};

/* A key that hashes by itself needs the whole message in memory, in bytes. */
#define SIGNER_WHOLE_MAX ((uint64_t)1 << 30)

/*
 * The private key that uri names: a pkcs11: URI, any other URI that an
 * OSSL_STORE loader serves, or a file.  ui asks for a PIN or passphrase, NULL
 * asks nobody.  The caller frees the key.  Blocks on the token.
 */
EVP_PKEY *signer_load_key(const char *uri, const UI_METHOD *ui);

/*
 * Whether cert, which the user named name, is of key.  Where the key has no
 * public half yet, its token is asked for a signature, which may fail for
 * reasons of its own.  Returns a CLI_ status; says what is wrong.
 */
int signer_check_cert(EVP_PKEY *key, X509 *cert, const char *name);

/* Read in to its end and write the bare signature to out. */
int signer_raw(const struct signer *s, BIO *in, BIO *out);

/*
 * The same, and write a detached CMS in DER.  cades has the signed attributes
 * content-type, message-digest and signing-certificate-v2 and no others, and
 * s->md is SHA-256 or better; cms has OpenSSL's usual ones and the time.
 */
int signer_cms(const struct signer *s, bool cades, BIO *in, BIO *out);

/*
 * The same for a document of which only the digest is known: len bytes, by
 * s->md.  signer_digest writes the bare signature (not with a key that hashes
 * by itself), signer_cms_digest what signer_cms does for cades and, if time,
 * the attribute signing-time, which PAdES forbids.
 */
int signer_digest(const struct signer *s, const unsigned char *digest,
                  size_t len, BIO *out);
int signer_cms_digest(const struct signer *s, const unsigned char *digest,
                      size_t len, bool time, BIO *out);

/* Whether key takes messages, not digests: Ed25519, Ed448, ML-DSA. */
bool signer_hashes_itself(EVP_PKEY *key);
/* Turn a signature or verification context into PSS as struct signer says. */
int signer_set_pss(EVP_PKEY_CTX *pctx);
/* Copy all of in to out; more than max bytes are an error, 0 is no limit. */
int signer_copy(BIO *in, BIO *out, uint64_t max);

/*
 * The program around it.
 */

/* hsmsign_provider_load.c */

/* Whether one that is active serves pkcs11: URIs.  Reads openssl.cnf. */
bool provider_is_served(void);

/*
 * See to it that a provider serves pkcs11: URIs: one that openssl.cnf
 * activated, or else the one linked into this program.  *builtin (NULL is
 * allowed) says which.  Does not touch the token.
 */
int provider_load(bool *builtin);
/* Give back what provider_load took; after all keys are freed. */
void provider_unload(void);

/* hsmsign_cli.c: options, help, messages */

/* What the process needs before anything else. */
void cli_init(void);

#define CLI_OPTIONS_MAX 16

enum cli_status {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_SOME_FAILED = 3 /* of many; the others are done */
};

struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* the value's name in the help; NULL for a switch */
    bool required;
    const char *help;
};

struct cli_command {
    const char *name;
    const char *usage; /* the synopsis after "hsmsign" */
    const char *about;
    const char *operand; /* name of the one operand it takes, or NULL */
    bool operand_optional;
    bool operands; /* or it takes any number of operands */
    const struct cli_option *options;
    size_t n_options; /* at most CLI_OPTIONS_MAX */
};

/* What was given: NULL is absent, "" a switch that is on. */
struct cli_values {
    const char *option[CLI_OPTIONS_MAX];
    const char *operand;
    char **operands; /* of a command that takes any number */
    size_t n_operands;
};

/*
 * Parse argv by cmd's tables into *values, whose strings live in argv.
 * Returns true to go on; false when *status is the exit status: after --help
 * or a usage error.
 */
bool cli_parse(const struct cli_command *cmd, int argc, char **argv,
               struct cli_values *values, int *status);

/* Say in one line what is wrong with the command line; returns CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Say "hsmsign: WHAT: REASON" in one line, the reason from OpenSSL's queue,
 * which is empty afterwards; returns CLI_FAILED.
 */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, for a reason that was taken from the queue before. */
int cli_fail_for(const char *reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Say in one line what does not look right, and go on. */
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The reason alone, cleaned, and its error code; "" and 0 when the queue is
 * empty, and then it is.
 */
unsigned long cli_reason(char *buf, size_t size);

/*
 * Make text fit to print: cut off the query of a pkcs11: URI, where a PIN may
 * stand, and replace control characters.
 */
void cli_clean(char *text);

/* Raise errno as OpenSSL does: the reason of a system call that failed. */
void cli_raise_errno(const char *function);

/* hsmsign_io.c: documents, certificates */

struct input {
    BIO *bio;
    uint64_t size; /* 0 when not known */
    uint64_t done, shown;
};

/* Open a file, or standard input for "-"; shows progress on a terminal. */
int input_open(struct input *in, const char *path);
void input_close(struct input *in);

/* For messages: path, or what "-" stands for. */
const char *input_name(const char *path);

/* hsmsign_output.c: signatures */

/* A file that appears when it is complete, or standard output for "-". */
struct output {
    int fd;
    char *target; /* where it will stand; NULL: fd is written directly */
    char *temp;   /* beside it, until then */
};

int output_open(struct output *out, const char *path);
/*
 * Write what mem holds and put the file in its place; closes out.  It is on
 * the disk then, or else output_sync() of its directory has to follow.
 */
int output_commit(struct output *out, BIO *mem, bool on_disk);
/* Put on the disk what the file system has that the directory is in. */
int output_sync(const char *dir);
/* Close and forget; harmless after output_commit. */
void output_discard(struct output *out);

const char *output_name(const char *path);

/* As many may be open at once as signals are to leave nothing of. */
#define OUTPUTS_MAX 256

/*
 * From here on a signal that would end the program does not: sem is posted, and
 * output_caught() gives the signal (0: none yet).  Whoever waits for sem is to
 * call output_die() then, which holds up all other threads' files, removes what
 * is not complete and ends the program by that signal.
 */
void output_watch(sem_t *sem);
int output_caught(void);
_Noreturn void output_die(int sig);

/* Whether both paths are there and name one file. */
bool same_file(const char *a, const char *b);

/*
 * Append the certificates of a file (PEM, any number; or one in DER) to
 * certs, each once.  A file without any is an error.
 */
int certs_load(const char *path, STACK_OF(X509) * certs);

/*
 * The same for what an OSSL_STORE URI names: pkcs11: (a provider has to be
 * loaded) or file:.  ui asks for a PIN, NULL asks nobody.  May block on the
 * token.
 */
int certs_load_uri(const char *uri, const UI_METHOD *ui,
                   STACK_OF(X509) * certs);
/* Whether name is such a URI, and not a file's name. */
bool is_store_uri(const char *name);

/* Whom to ask for a PIN; NULL when the only one to ask is the document. */
const UI_METHOD *pin_prompt(const char *in);

/* hsmsign_check.c */

/* What a signature has to be.  Nothing in it is owned. */
struct check {
    bool raw, cades; /* neither: cms */
    EVP_PKEY *key;   /* raw: a public key in software */
    const char *md; /* raw: its digest; NULL is what the key takes by default */
    bool pss;       /* raw: as struct signer says */
    X509_STORE *store; /* cms, cades: who is trusted */
    STACK_OF(X509) *
        signers; /* cms, cades: who alone may have signed, or NULL */
};

/* Whether sig is a signature of what can be read from in; 0 raises why not. */
int check_detached(const struct check *c, BIO *in, BIO *sig);

/*
 * Trust all of certs as roots or, if signer, the first as it is; any_time does
 * so before and after it is valid.  The caller frees it; NULL is no memory.
 */
X509_STORE *check_trust(STACK_OF(X509) * certs, bool signer, bool any_time);

/* hsmsign_subject.c */

/* A name as "/CN=NAME"; NULL when it is none.  The caller frees it. */
X509_NAME *subject_parse(const char *text);

/* The sub-commands: argv[0] is the sub-command's name. */
int cmd_sign(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_uri2pem(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_csr(int argc, char **argv);
int cmd_selfsign(int argc, char **argv);
int cmd_import_cert(int argc, char **argv);

#endif
