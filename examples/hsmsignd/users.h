/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may sign: the signing token, and the file that it is compared with.
 *
 *     {"users": {"NAME": {"secret": "sha256:SALT:HASH",
 *                         "rights": ["sign", "sign_pkcs7"],
 *                         "profiles": ["default"], "rate": 100}}}
 *
 * Without "profiles" it is the one called "default", without "rate", the most
 * signatures a second, there is no limit.
 *
 * HASH is the SHA-256 of SALT and the secret, in hex; the secret is random and
 * long (hsmsignd(8) says how to make one), so that no slower hash is needed.
 * The token is {"userId": NAME, "secret": SECRET, "profile": PROFILE}, of which
 * the last may be missing, or NAME:SECRET.
 */
#ifndef HSMSIGND_USERS_H
#define HSMSIGND_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

/* What plain names are made of; and users' and profiles' size with NUL. */
#define USERS_NAME_LETTERS                                                     \
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ._-"
#define USERS_NAME_MAX 65

/* Who asks, and whose signature is wanted. */
struct who {
    char user[USERS_NAME_MAX];    /* "" for none */
    char profile[USERS_NAME_MAX]; /* "" before users_check(): not said yet */
};

struct fault;
struct users;

/* NULL and a message in error of that size if the file is not such a one. */
struct users *users_load(const char *path, char *error, size_t size);
void users_free(struct users *users);

/*
 * Whether token, a JSON string, object or NULL, has the right for the profile;
 * users NULL: everybody has.  who->profile is what the path says, or "", and
 * receives what the token says, or "default".
 */
bool users_check(struct users *users, const json_t *token, const char *right,
                 struct who *who, struct fault *fault);

#endif
