/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "config.h"
#include "json_file.h"
#include "rate.h"
#include "request.h"
#include "users.h"

#define HASH_LEN 32

struct users {
    json_t *list; /* by name; "index" is that of its rate */
    struct rate rates[];
};

/* "sha256:SALT:HASH"; salt is not ended by a NUL */
static bool parse_secret(const char *text, const char **salt, size_t *salt_len,
                         unsigned char hash[HASH_LEN])
{
    static const char prefix[] = "sha256:";
    const char *colon;
    size_t len;

    if (text == NULL || strncmp(text, prefix, strlen(prefix)) != 0)
        return false;
    *salt = text + strlen(prefix);
    colon = strchr(*salt, ':');
    if (colon == NULL || colon - *salt < 16)
        return false;
    *salt_len = (size_t)(colon - *salt);
    return strlen(colon + 1) == (size_t)2 * HASH_LEN &&
           OPENSSL_hexstr2buf_ex(hash, HASH_LEN, &len, colon + 1, '\0') == 1;
}

/* NULL, or what is wrong with a user. */
static const char *check_user(json_t *user)
{
    unsigned char hash[HASH_LEN];
    const json_t *rights, *right, *profiles = NULL, *rate = NULL;
    const char *secret, *salt;
    json_error_t why;
    size_t i, len;

    /* "!": nothing else */
    if (json_unpack_ex(user, &why, 0, "{s:s, s:o, s?o, s?o !}", "secret",
                       &secret, "rights", &rights, "profiles", &profiles,
                       "rate", &rate) != 0)
        return "it takes secret, rights, profiles and rate, no more";
    if (!parse_secret(secret, &salt, &len, hash))
        return "secret is not sha256:SALT:HASH, with 16 characters or more of "
               "salt and the hash in hex";
    if (!json_is_array(rights))
        return "rights is not a list";
    json_array_foreach(rights, i, right)
    {
        enum action a = ACTION_CERTIFICATES;

        while (a < ACTION_WEB &&
               (!json_is_string(right) ||
                strcmp(request_action_name(a), json_string_value(right)) != 0))
            a++;
        if (a == ACTION_WEB)
            return "a right is none of get_certificates, sign, sign_pkcs7";
    }
    if (profiles != NULL && !json_is_array(profiles))
        return "profiles is not a list";
    json_array_foreach(profiles, i, right)
    {
        if (!json_is_string(right))
            return "a profile is not a name";
    }
    if (rate != NULL && json_integer_value(rate) < 1)
        return "rate is not a number of signatures a second";
    return NULL;
}

struct users *users_load(const char *path, char *error, size_t size)
{
    json_t *file = json_file_load(path, error, size), *user;
    json_t *list = json_object_get(file, "users");
    const char *name, *wrong = NULL;
    size_t n = json_object_size(list), i = 0;
    struct users *users = calloc(1, sizeof(*users) + n * sizeof(struct rate));

    if (file != NULL)
        (void)snprintf(error, size, "%s",
                       json_is_object(list) ? "" : "users is not an object");
    json_object_foreach(list, name, user)
    {
        wrong = check_user(user);
        if (wrong == NULL && (*name == '\0' || strlen(name) >= USERS_NAME_MAX ||
                              strchr(name, ':') != NULL))
            wrong = "a name has 1 to 64 bytes, and no colon";
        if (wrong != NULL && error[0] == '\0')
            (void)snprintf(error, size, "user %s: %s", name, wrong);
        (void)json_object_set_new(user, "index", json_integer((json_int_t)i++));
    }
    if (error[0] != '\0' || users == NULL) {
        free(users);
        users = NULL;
    } else {
        users->list = json_incref(list);
    }
    json_decref(file);
    return users;
}

void users_free(struct users *users)
{
    if (users != NULL)
        json_decref(users->list);
    free(users);
}

/* Takes as long for a user who is not there. */
static bool is_secret(const json_t *user, const char *secret)
{
    unsigned char want[HASH_LEN] = { 0 }, hash[HASH_LEN] = { 0 };
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *salt = "";
    size_t len = 0;
    bool known = parse_secret(
        json_string_value(json_object_get(user, "secret")), &salt, &len, want);
    bool good = ctx != NULL && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(ctx, salt, len) &&
                EVP_DigestUpdate(ctx, secret, strlen(secret)) &&
                EVP_DigestFinal_ex(ctx, hash, NULL) &&
                CRYPTO_memcmp(hash, want, HASH_LEN) == 0;

    EVP_MD_CTX_free(ctx);
    return known && good;
}

static bool has(const json_t *list, const char *name)
{
    const json_t *each;
    size_t i;

    json_array_foreach(list, i, each)
    {
        if (strcmp(json_string_value(each), name) == 0)
            return true;
    }
    return false;
}

static void copy_name(char copy[USERS_NAME_MAX], const char *name, size_t len)
{
    (void)snprintf(copy, USERS_NAME_MAX, "%.*s",
                   (int)(len < USERS_NAME_MAX ? len : USERS_NAME_MAX), name);
}

/* From the token's object; *secret lives in it. */
static bool read_object(const json_t *object, struct who *who,
                        const char **secret, struct fault *fault)
{
    const json_t *name = json_object_get(object, "userId");
    const json_t *method = json_object_get(object, "signMethod");
    const char *profile = json_string_value(json_object_get(object, "profile"));

    if (json_is_string(name))
        copy_name(who->user, json_string_value(name), json_string_length(name));
    if (json_is_string(json_object_get(object, "secret")))
        *secret = json_string_value(json_object_get(object, "secret"));
    if (profile != NULL && who->profile[0] != '\0' &&
        strcmp(profile, who->profile) != 0)
        return fault_set(fault, 400,
                         "the token and the path name different "
                         "profiles");
    if (profile != NULL)
        copy_name(who->profile, profile, strlen(profile));
    if (method != NULL && !json_is_null(method) &&
        (!json_is_string(method) ||
         strcmp(json_string_value(method), "hsm") != 0))
        return fault_set(fault, 400, "Invalid sign method");
    return true;
}

/* Whether the user may, after the secret was right. */
static bool may(struct users *users, const json_t *user, const char *right,
                const struct who *who, struct fault *fault)
{
    const json_t *profiles = json_object_get(user, "profiles");
    size_t i = (size_t)json_integer_value(json_object_get(user, "index"));
    json_int_t rate = json_integer_value(json_object_get(user, "rate"));

    if (!has(json_object_get(user, "rights"), right))
        return fault_set(fault, 403, "the user has no right to %s", right);
    if (profiles != NULL ? !has(profiles, who->profile)
                         : strcmp(who->profile, CONFIG_DEFAULT) != 0)
        return fault_set(fault, 403, "the user has no right to this profile");
    if (strcmp(right, request_action_name(ACTION_CERTIFICATES)) != 0 &&
        !rate_take_now(&users->rates[i], (unsigned long)rate))
        return fault_set(fault, 429, "the user signs too often; try again");
    return true;
}

static bool check(struct users *users, const json_t *token, const char *right,
                  const struct who *who, const char *secret,
                  struct fault *fault)
{
    const json_t *user = json_object_get(users->list, who->user);

    /* Document Engine asks for certificates without a token. */
    if ((token == NULL || json_is_null(token)) &&
        strcmp(right, request_action_name(ACTION_CERTIFICATES)) == 0)
        return true;
    if (!is_secret(user, secret))
        return fault_set(fault, 401, "Unauthorized");
    return may(users, user, right, who, fault);
}

bool users_check(struct users *users, const json_t *token, const char *right,
                 struct who *who, struct fault *fault)
{
    const char *text = json_string_value(token), *secret = "";
    json_t *object = text != NULL
                         ? json_loads(text, JSON_REJECT_DUPLICATES, NULL)
                         : json_copy((json_t *)token);
    bool ok = true;

    who->user[0] = '\0';
    if (json_is_object(object)) {
        ok = read_object(object, who, &secret, fault);
    } else if (text != NULL) {
        copy_name(who->user, text, strcspn(text, ":"));
        secret = text + strcspn(text, ":");
        secret += *secret == ':';
    }
    if (who->profile[0] == '\0')
        copy_name(who->profile, CONFIG_DEFAULT, strlen(CONFIG_DEFAULT));
    if (ok && users != NULL)
        ok = check(users, token, right, who, secret, fault);
    /* What nobody checked is no name, and may be a secret. */
    if (users == NULL || (!ok && fault->status != 403 && fault->status != 429))
        who->user[0] = '\0';
    json_decref(object);
    return ok;
}
