/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsignd/users: who may do what, and which files are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "examples/hsmsignd/request.h"
#include "examples/hsmsignd/users.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* HASH: SHA-256 of SALT and "SECRET", by sha256sum. */
#define SALT "0123456789abcdef"
#define HASH_BEGIN                                                             \
    "420ab883ce80e4e5036a992fee8ced769cb89a2e54144a220088004e733b80"
#define HASH        HASH_BEGIN "02"
#define HASH_NO_HEX HASH_BEGIN "0g"
#define HASH_LARGE                                                             \
    "420AB883CE80E4E5036A992FEE8CED769CB89A2E54144A220088004E733B8002"
#define HASHED(prefix, salt, hash) "\"secret\":\"" prefix salt ":" hash "\""
#define SECRET                     HASHED("sha256:", SALT, HASH)

/* As long as a name may be. */
#define NAME_16 "aaaaaaaaaaaaaaaa"
#define NAME_64 NAME_16 NAME_16 NAME_16 NAME_16

static struct users *load(const char *text, char *error, size_t size)
{
    char path[] = "/tmp/users-XXXXXX";
    int fd = mkstemp(path);
    struct users *users;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    users = users_load(path, error, size);
    (void)unlink(path);
    return users;
}

static const char file[] =
    "{\"users\":{"
    "\"all\":{" SECRET ",\"rights\":[\"get_certificates\",\"sign\","
    "\"sign_pkcs7\"],\"profiles\":[\"default\",\"seal\"]},"
    "\"one\":{" SECRET ",\"rights\":[\"sign\"]},"
    "\"slow\":{" SECRET ",\"rights\":[\"sign\"],\"rate\":2},"
    "\"" NAME_64 "\":{" SECRET ",\"rights\":[\"sign\"]},"
    "\"\u00e9\":{" SECRET ",\"rights\":[\"sign\"]},"
    "\"large\":{" HASHED("sha256:", SALT,
                         HASH_LARGE) ",\"rights\":[\"sign\"]},"
                                     "\"nowhere\":{" SECRET
                                     ",\"rights\":[\"sign\"],\"profiles\":[]},"
                                     "\"none\":{" SECRET ",\"rights\":[]}}}";

static const struct {
    const char *token, *right, *path; /* token: JSON, or NULL */
    int status;                       /* 0: he may */
    const char *user, *profile;
} rows[] = {
    { "\"all:SECRET\"", "sign", "", 0, "all", "default" },
    { "\"one:SECRET\"", "sign", "", 0, "one", "default" },
    { "\"one:SECRET\"", "sign_pkcs7", "", 403, "one", "default" },
    { "\"none:SECRET\"", "sign", "", 403, "none", "default" },
    { "\"one:SECRET\"", "sign", "seal", 403, "one", "seal" },
    { "\"all:SECRET\"", "sign", "seal", 0, "all", "seal" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\"}", "sign", "", 0, "all",
      "default" },
    { "\"{\\\"userId\\\":\\\"all\\\",\\\"secret\\\":\\\"SECRET\\\"}\"", "sign",
      "", 0, "all", "default" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"profile\":\"seal\"}", "sign",
      "", 0, "all", "seal" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"profile\":\"seal\"}", "sign",
      "seal", 0, "all", "seal" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"profile\":\"seal\"}", "sign",
      "default", 400, "", "default" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"signMethod\":\"hsm\"}",
      "sign", "", 0, "all", "default" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"signMethod\":\"x\"}", "sign",
      "", 400, "", NULL },
    { "\"all:secret\"", "sign", "", 401, "", "default" },
    { "\"all:SECRET \"", "sign", "", 401, "", "default" },
    { "\"all:\"", "sign", "", 401, "", "default" },
    { "\"all\"", "sign", "", 401, "", "default" },
    { "\"nobody:SECRET\"", "sign", "", 401, "", "default" },
    { "\":SECRET\"", "sign", "", 401, "", "default" },
    { "\"\"", "sign", "", 401, "", "default" },
    { "[\"all:SECRET\"]", "sign", "", 401, "", "default" },
    { "12", "sign", "", 401, "", "default" },
    { "{\"userId\":[\"all\"],\"secret\":\"SECRET\"}", "sign", "", 401, "",
      "default" },
    { "{\"userId\":\"all\",\"secret\":{}}", "sign", "", 401, "", "default" },
    { NULL, "sign", "", 401, "", "default" },
    { "null", "sign", "", 401, "", "default" },
    { NULL, "get_certificates", "", 0, "", "default" },
    { "null", "get_certificates", "seal", 0, "", "seal" },
    { "\"one:SECRET\"", "get_certificates", "", 403, "one", "default" },
    { "\"" NAME_64 ":SECRET\"", "sign", "", 0, NAME_64, "default" },
    { "\"\u00e9:SECRET\"", "sign", "", 0, "\xc3\xa9", "default" },
    { "\"large:SECRET\"", "sign", "", 0, "large", "default" },
    { "\"nowhere:SECRET\"", "sign", "", 403, "nowhere", "default" },
    { "\"ALL:SECRET\"", "sign", "", 401, "", "default" },
    { "\"all:SECRET:\"", "sign", "", 401, "", "default" },
    { "\"all:SECRE\"", "sign", "", 401, "", "default" },
    { "\"users:SECRET\"", "sign", "", 401, "", "default" },
    /* The secret's hash, or the salt, is no secret. */
    { "\"all:" HASH "\"", "sign", "", 401, "", "default" },
    /* Of a string that is JSON, an object alone. */
    { "\"[\\\"all:SECRET\\\"]\"", "sign", "", 401, "", "default" },
    { "\"{\\\"userId\\\":\\\"all\\\",\\\"userId\\\":\\\"all\\\","
      "\\\"secret\\\":\\\"SECRET\\\"}\"",
      "sign", "", 401, "", "default" },
    { "{\"userId\":\"all\"}", "sign", "", 401, "", "default" },
    { "{\"secret\":\"SECRET\"}", "sign", "", 401, "", "default" },
    { "{}", "sign", "", 401, "", "default" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"signMethod\":null}", "sign",
      "", 0, "all", "default" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"signMethod\":1}", "sign", "",
      400, "", NULL },
    /* Whoever says who he is has to be that. */
    { "\"all:x\"", "get_certificates", "", 401, "", "default" },
    { "{\"userId\":\"all\",\"secret\":\"SECRET\",\"profile\":\"x\"}", "sign",
      "", 403, "all", "x" },
};

/* The one call of users_check(); token: JSON, or NULL */
static bool check_user(struct users *users, const char *token,
                       const char *right, const char *path, struct who *who,
                       struct fault *fault)
{
    json_t *json =
        token != NULL ? json_loads(token, JSON_DECODE_ANY, NULL) : NULL;
    bool may;

    assert_int_equal(json == NULL, token == NULL);
    *who = (struct who){ "", "" };
    *fault = (struct fault){ 0 };
    strcpy(who->profile, path);
    may = users_check(users, json, right, who, fault);
    assert_null(strstr(fault->text, "SECRET"));
    json_decref(json);
    return may;
}

static void test_users_may_what_the_file_says(void **state)
{
    char error[256];
    struct users *users = load(file, error, sizeof(error));

    (void)state;
    assert_non_null(users);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct who who;
        struct fault fault;
        bool may = check_user(users, rows[i].token, rows[i].right, rows[i].path,
                              &who, &fault);

        if (may != (rows[i].status == 0) || fault.status != rows[i].status)
            fail_msg("row %zu: %d %s", i, fault.status, fault.text);
        assert_string_equal(who.user, rows[i].user);
        if (rows[i].profile != NULL)
            assert_string_equal(who.profile, rows[i].profile);
    }
    users_free(users);
}

static void test_without_a_file_everybody_may(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct who who;
        struct fault fault;

        assert_int_equal(check_user(NULL, rows[i].token, rows[i].right,
                                    rows[i].path, &who, &fault),
                         rows[i].status != 400);
        /* What nobody has checked is no name. */
        assert_string_equal(who.user, "");
    }
}

static void test_rate_is_of_each_user(void **state)
{
    char error[256];
    struct users *users = load(file, error, sizeof(error));
    unsigned taken = 0;

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct who who;
        struct fault fault;

        if (check_user(users, "\"slow:SECRET\"", "sign", "", &who, &fault))
            taken++;
        else
            assert_int_equal(fault.status, 429);
        assert_true(
            check_user(users, "\"one:SECRET\"", "sign", "", &who, &fault));
    }
    assert_in_range(taken, 2, 19);
    users_free(users);
}

static const struct {
    const char *text, *reason;
} bad_files[] = {
    { "", "" },
    { "{", "" },
    { "[]", "users is not an object" },
    { "{\"users\":[]}", "users is not an object" },
    { "{\"users\":{\"a\":{}}}", "user a: it takes secret" },
    { "{\"users\":{\"a\":{\"secret\":\"x\",\"rights\":[]}}}", "secret" },
    { "{\"users\":{\"a\":{" SECRET "}}}", "it takes secret, rights" },
    /* A limit that is misspelt is none. */
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"rates\":1}}}",
      "user a: it takes secret, rights, profiles and rate, no more" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[\"all\"]}}}", "a right" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[1]}}}", "a right" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"profiles\":1}}}",
      "profiles" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"profiles\":[1]}}}",
      "profile" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"rate\":0}}}", "rate" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"rate\":\"1\"}}}", "rate" },
    { "{\"users\":{\"a:b\":{" SECRET ",\"rights\":[]}}}", "colon" },
    { "{\"users\":{\"\":{" SECRET ",\"rights\":[]}}}", "a name" },
    { "{\"users\":{\"" NAME_64 "b\":{" SECRET ",\"rights\":[]}}}", "a name" },
    { "{\"users\":{\"a\":1}}", "user a: it takes secret" },
    { "{\"users\":null}", "users is not an object" },
    { "{}", "users is not an object" },
    { "{\"users\":{}} x", "" },
    { "{\"users\":{},\"users\":{}}", "duplicate" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[]},"
      "\"a\":{" SECRET ",\"rights\":[]}}}",
      "duplicate" },
    { "{\"users\":{\"a\":{\"secret\":1,\"rights\":[]}}}", "secret" },
    { "{\"users\":{\"a\":{" HASHED("sha512:", SALT, HASH) ",\"rights\":[]}}}",
      "secret" },
    { "{\"users\":{\"a\":{" HASHED("sha256:", "0123456789abcde",
                                   HASH) ",\"rights\":[]}}}",
      "secret" },
    { "{\"users\":{\"a\":{" HASHED("sha256:", SALT,
                                   HASH "00") ",\"rights\":[]}}}",
      "secret" },
    { "{\"users\":{\"a\":{" HASHED("sha256:", SALT, "00") ",\"rights\":[]}}}",
      "secret" },
    { "{\"users\":{\"a\":{" HASHED("sha256:", SALT,
                                   HASH_NO_HEX) ",\"rights\":[]}}}",
      "secret" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":{}}}}",
      "rights is not a list" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[\"encodedContents\"]}}}",
      "a right" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[\"\"]}}}", "a right" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"rate\":-1}}}", "rate" },
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[],\"rate\":1.5}}}", "rate" },
    /* The first that is wrong is named. */
    { "{\"users\":{\"a\":{" SECRET ",\"rights\":[]},\"b\":{},\"c\":{}}}",
      "user b: it takes secret" },
};

static void test_file_that_is_none_is_refused(void **state)
{
    char error[256];

    (void)state;
    for (size_t i = 0; i < COUNT(bad_files); i++) {
        assert_null(load(bad_files[i].text, error, sizeof(error)));
        assert_true(error[0] != '\0');
        assert_non_null(strstr(error, bad_files[i].reason));
        assert_null(strstr(error, "420ab883"));
        assert_null(strstr(error, SALT));
    }
    assert_null(users_load("/nothing", error, sizeof(error)));
    assert_true(error[0] != '\0');
    users_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_may_what_the_file_says),
        cmocka_unit_test(test_without_a_file_everybody_may),
        cmocka_unit_test(test_rate_is_of_each_user),
        cmocka_unit_test(test_file_that_is_none_is_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
