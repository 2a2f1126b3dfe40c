/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of "hsmsign doctor" share; see hsmsign_doctor.c. */
#ifndef HSMSIGN_DOCTOR_H
#define HSMSIGN_DOCTOR_H

#include <stdbool.h>
#include <openssl/conf.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include "pkcs11/key.h"
#include "pkcs11/slot.h"

enum doctor_verdict {
    DOCTOR_NOT_PROBED,
    DOCTOR_CONFIRMED,
    DOCTOR_REFUTED,
    DOCTOR_MEASURED /* a time, a number: nothing to agree with */
};

/* What became of one row of what is assumed of AWS CloudHSM. */
struct doctor_answer {
    const char *name, *assumed; /* static */
    enum doctor_verdict verdict;
    const char *reason; /* static: why it was not probed */
    char observed[128];
};

#define DOCTOR_ROWS_MAX       40
#define DOCTOR_MECHANISMS_MAX 512

/* What the examination finds, for --report. */
struct doctor_facts {
    CK_INFO info;
    CK_TOKEN_INFO token;
    size_t slots, n_mechanisms, n_answers;
    CK_MECHANISM_TYPE mechanisms[DOCTOR_MECHANISMS_MAX];
    struct doctor_answer answers[DOCTOR_ROWS_MAX];
    double login_ms; /* below 0: there was no login */
    /* Of one signature; calls is 0 when they were not counted. */
    int signatures;
    double p50_ms, p99_ms, calls, trips;
};

struct doctor_way; /* to sign */

struct doctor {
    const char *config; /* --config, or NULL */
    const char *key_uri;
    const char *cert_file;
    const char *report_file; /* --report, or NULL */
    char *file;              /* the configuration's */
    CONF *conf;              /* what it says; empty if it cannot be read */
    int log;                 /* what the provider logs; -1: elsewhere */
    EVP_PKEY *key;
    size_t loading;         /* doctor_log_mark() before it was loaded */
    bool has_public;        /* the key knows its public half */
    STACK_OF(X509) * certs; /* the first is the key's; NULL when not loaded */
    const struct doctor_way *way; /* one that works */
    bool failed;                  /* an error was printed */
    struct doctor_facts facts;
};

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

/*
 * One line: what, the reason from OpenSSL's error queue if any, and what to
 * do (fix), without which there is no warning and no error.
 */
void doctor_say(struct doctor *d, enum doctor_level level, const char *fix,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
/*
 * An error of pkcs11/: its own fix, or this one where the text alone says what
 * is wrong.
 */
void doctor_say_error(struct doctor *d, const struct p11_error *err,
                      const char *fix, const char *what);

/*
 * The checks below OpenSSL.  False ends the examination.
 */

/* hsmsign_doctor_token.c: option names and values; the module, its tokens. */
bool doctor_check_options(struct doctor *d);
bool doctor_check_token(struct doctor *d);

/* hsmsign_doctor_key.c: login, sessions, the key's object, mechanisms. */
bool doctor_check_object(struct doctor *d, struct p11_slot *slot,
                         const struct p11_uri *uri,
                         const struct p11_pin_source *pin);

/* hsmsign_doctor_sign.c: signatures by each algorithm; how long they take. */
bool doctor_check_signatures(struct doctor *d);
bool doctor_check_latency(struct doctor *d);

/*
 * hsmsign_doctor_log.c: what the provider, which may be in a file of its own,
 * calls.  It is the log that tells, unless the user has it written elsewhere.
 */
void doctor_log_open(struct doctor *d);
void doctor_log_close(struct doctor *d);
/* Where in the log we are. */
size_t doctor_log_mark(const struct doctor *d);
/*
 * The calls since, and those among them that a network HSM has to answer;
 * false: they are not known.
 */
bool doctor_log_calls(const struct doctor *d, size_t mark, unsigned *calls,
                      unsigned *trips);
/* What stands behind words in the last line since that has them, or "". */
void doctor_log_tells(const struct doctor *d, size_t mark, const char *words,
                      char *buf, size_t size);

/*
 * hsmsign_doctor_probe.c: what is only assumed of AWS CloudHSM, row by row.
 * It reads, and makes keys of a session that are gone with it; it never tries
 * a PIN, and leaves nothing behind.
 */

/* No row is probed yet. */
void doctor_probe_init(struct doctor *d);
/* What can be seen before the login: whether there are such objects. */
struct doctor_seen {
    bool public_key, certificate;
};
void doctor_probe_before_login(const struct p11_slot *slot,
                               struct doctor_seen *seen);
/* The rest, logged in.  The process forks; the key is only read. */
void doctor_probe(struct doctor *d, const struct p11_slot *slot,
                  CK_OBJECT_HANDLE key, const struct doctor_seen *before);

/* hsmsign_doctor_report.c: all of it as JSON.  1, or 0 with the reason. */
bool doctor_report_is_offered(void);
int doctor_report_write(const struct doctor *d);

/* In milliseconds, of a clock that nobody sets. */
double doctor_clock(void);

#endif
