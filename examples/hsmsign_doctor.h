/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of "hsmsign doctor" share; see hsmsign_doctor.c. */
#ifndef HSMSIGN_DOCTOR_H
#define HSMSIGN_DOCTOR_H

#include <stdbool.h>
#include <openssl/conf.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

struct doctor {
    const char *config; /* --config, or NULL */
    const char *key_uri;
    const char *cert_file;
    char *file; /* the configuration's */
    CONF *conf; /* what it says; empty if it cannot be read */
    EVP_PKEY *key;
    bool has_public;        /* the key knows its public half */
    STACK_OF(X509) * certs; /* the first is the key's; NULL when not loaded */
    bool failed;            /* an error was printed */
};

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

/*
 * One line: what, the reason from OpenSSL's error queue if any, and what to
 * do (fix; "" for nothing).
 */
void doctor_report(struct doctor *d, enum doctor_level level, const char *fix,
                   const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * The rows of hsmsign_doctor_token.c: everything below OpenSSL.  Option names
 * and values, the PKCS #11 module, its tokens, the login, the key's object.
 * False ends the examination.
 */
bool doctor_check_options(struct doctor *d);
bool doctor_check_token(struct doctor *d);

#endif
