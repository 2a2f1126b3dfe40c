/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who signs: the key on the token, its certificate, and the chain above it.
 */
#ifndef HSMSIGND_PROFILE_H
#define HSMSIGND_PROFILE_H

#include <stdbool.h>
#include "../hsmsign_tool.h"
#include "options.h"
#include "request.h"

struct p11_pin;

/* What a profile is made of. */
struct profile_source {
    const char *name, *key;   /* key: URI */
    const char *cert, *chain; /* files or URIs, or NULL */
    unsigned digests;         /* request_digest_bit()s; 0: what options allow */
    bool pss;
    struct p11_pin *pin; /* that it has now, or NULL; owned */
};

struct profile {
    char name[USERS_NAME_MAX];
    struct signer signer; /* all owned; md is not set */
    char *certificates;   /* what get_certificates answers, JSON */
    unsigned digests;
    struct p11_pin *pin; /* its source's, or NULL; owned */
    bool complete;       /* the chain, up to a root */
    int days;            /* the certificate has, as was logged last */
};

enum profile_state {
    PROFILE_GOOD,
    PROFILE_AWAY,   /* the HSM is, and may come back */
    PROFILE_WRONG,  /* somebody has to mend something */
    PROFILE_REFUSED /* the PIN, which counts: not to be tried once more */
};

/* Whether certificates are looked for in options->certs, and in which files. */
bool profile_searches(const struct profile_source *source);
bool profile_takes(const char *name);

/*
 * Load and check all of it, and log it, or what is wrong.  *profile, which has
 * the source's PIN then, is the caller's.  Blocks on the token.
 */
enum profile_state profile_load(const struct options *options,
                                struct profile_source *source,
                                struct profile **profile);
void profile_free(struct profile *profile);

/*
 * NULL if what r wants signed are signed attributes, for cades with the hash of
 * the profile's certificate; or else what is wrong with them.
 */
const char *profile_attributes(const struct profile *profile,
                               const struct request *r);
/*
 * The signature of what r asks for, into out.  Blocks on the token; false: the
 * answer is in *fault, and the reason was logged under the request's id.
 */
bool profile_sign(const struct profile *profile, const struct options *options,
                  const struct request *r, const char *id, BIO *out,
                  struct fault *fault);
/* What it signed from then on would not be accepted by anybody. */
bool profile_has_expired(const struct profile *profile);
/*
 * Log how long the certificate is valid, if that is under a month and by days
 * another time than was logged.  For the thread that loads.
 */
void profile_remind(struct profile *profile);
/* Sign something without meaning, to see whether the HSM does. */
bool profile_probe(const struct profile *profile);

#endif
