/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the simulator; cloudhsm_rules prints this table. */
#include <stdio.h>
#include <string.h>
#include "../../pkcs11/rv.h"
#include "sim.h"

#define AT(field) offsetof(struct sim_config, field)
#define ALWAYS(known, says, test)                                              \
    {                                                                          \
        SIM_ALWAYS, NULL, NULL, NULL, 0, known, says, "test_" test             \
    }
#define ANSWER(name, field, normal, strict, known, says, test)                 \
    {                                                                          \
        SIM_RV, name, "CKR_" normal, "CKR_" strict, AT(field), known, says,    \
            "test_" test                                                       \
    }
#define SWITCH(kind, name, field, normal, strict, known, says, test)           \
    {                                                                          \
        SIM_##kind, name, normal, strict, AT(field), known, says, "test_" test \
    }
#define PATH(name, field, normal, says)                                        \
    {                                                                          \
        SIM_PATH, name, normal, normal, AT(field), "", says, NULL              \
    }

/* clang-format off */
static const struct sim_rule rules[] = {
    PATH("module", module, HSMSIGN_SOFTHSM, "the module behind"),

    /* Slots, login, sessions */
    SWITCH(NUMBER, "first-slot", first_slot, "0x2000000000000001", "0x2000000000000001", "O",
        "slot id of the first cluster; the others follow", "each_cluster_is_a_slot"),
    SWITCH(NUMBER, "token-flags", token_flags, "0x404", "0x404", "O",
        "token flags, CKF_USER_PIN_INITIALIZED not among them", "token_flags_lack_user_pin_initialized"),
    ANSWER("read-only", read_only, "FUNCTION_FAILED", "FUNCTION_FAILED", "D, contested",
        "C_OpenSession without CKF_RW_SESSION", "read_only_session_is_refused"),
    ANSWER("notify", notify, "ARGUMENTS_BAD", "ARGUMENTS_BAD", "O",
        "C_OpenSession with Notify or pApplication", "callback_is_refused"),
    SWITCH(NUMBER, "max-sessions", max_sessions, "1024", "1024", "D",
        "sessions of one process", "session_1025_is_refused"),
    ANSWER("session-count", session_count, "SESSION_COUNT", "SESSION_COUNT", "A",
        "one session more than that", "session_1025_is_refused"),
    ANSWER("pin-without-user", pin_without_user, "ARGUMENTS_BAD", "PIN_INCORRECT", "O, contested",
        "a PIN without ':'; CKR_PIN_INCORRECT counts as a wrong one", "pin_without_colon_is_refused"),
    ANSWER("wrong-pin", wrong_pin, "PIN_INCORRECT", "PIN_INCORRECT", "A",
        "a wrong password", "fifth_wrong_password_locks"),
    ANSWER("locked", locked, "PIN_LOCKED", "PIN_LOCKED", "A",
        "any password after too many wrong ones", "fifth_wrong_password_locks"),
    SWITCH(NUMBER, "pin-tries", pin_tries, "5", "5", "D",
        "so many wrong passwords lock the user", "fifth_wrong_password_locks"),
    ALWAYS("D", "a second C_Login: CKR_USER_ALREADY_LOGGED_IN; C_Logout logs out every session",
        "login_and_logout_are_of_all_sessions"),
    ALWAYS("D", "the login outlives the session that made it", "login_outlives_its_session"),
    SWITCH(FLAG, "visible-before-login", visible_before_login, "off", "off", "I",
        "on: public keys are found before login", "no_key_is_seen_before_login"),
    SWITCH(TIME, "login", login_us, "5ms", "20ms", "D, time A",
        "what C_Login takes; n at a time take n times as long", "parallel_logins_are_slower"),

    /* Functions and mechanisms */
    ALWAYS("A, D", "no C_GetInterface; Cryptoki version 2.40", "there_is_no_get_interface"),
    ANSWER("not-listed", not_listed, "FUNCTION_NOT_SUPPORTED", "FUNCTION_NOT_SUPPORTED", "D, answer O",
        "functions that AWS does not list", "unlisted_functions_are_not_supported"),
    ANSWER("set-attribute", set_attribute, "FUNCTION_NOT_SUPPORTED", "FUNCTION_NOT_SUPPORTED", "O",
        "C_SetAttributeValue on a key", "keys_keep_their_attributes"),
    ANSWER("single-part", single_part, "MECHANISM_INVALID", "MECHANISM_INVALID", "A",
        "C_SignUpdate with CKM_ECDSA, CKM_RSA_PKCS, CKM_RSA_PKCS_PSS", "raw_signatures_are_single_part"),
    ANSWER("unlisted-mechanism", unlisted_mechanism, "MECHANISM_INVALID", "MECHANISM_INVALID", "A",
        "mechanisms that AWS does not list, CKM_EDDSA and CKM_ML_DSA included", "unlisted_mechanisms_are_invalid"),
    SWITCH(NUMBER, "eddsa", eddsa, "0", "0", "number unknown",
        "CKM_CLOUDHSM_EDDSA, from cloudhsm_pkcs11_vendor_defs.h; 0: there is none", "vendor_eddsa_signs"),
    SWITCH(NUMBER, "ml-dsa", ml_dsa, "0", "0", "number unknown",
        "CKM_CLOUDHSM_ML_DSA, likewise, if the module behind has ML-DSA", "vendor_ml_dsa_wants_a_module_that_has_it"),

    /* Objects */
    ALWAYS("D", "an unsupported attribute in a read: CKR_ATTRIBUTE_TYPE_INVALID, length -1, the others filled",
        "unsupported_attribute_leaves_the_others_filled"),
    ALWAYS("D", "so CKA_EC_POINT of a private key, ALLOWED_MECHANISMS, ALWAYS_AUTHENTICATE, PUBLIC_KEY_INFO, "
        "SUBJECT, START_DATE, END_DATE, COPYABLE", "private_keys_lack_these_attributes"),
    ALWAYS("D", "a read of a sensitive part: CKR_ATTRIBUTE_SENSITIVE", "sensitive_parts_are_not_told"),
    ALWAYS("D", "CKA_ID is empty and labels are apart unless given; the halves share a 3-byte CKA_CHECK_VALUE",
        "halves_share_only_the_check_value"),
    ALWAYS("D", "defaults: CKA_TOKEN false, SENSITIVE true, EXTRACTABLE true, SIGN and VERIFY false",
        "new_keys_have_the_defaults"),
    ANSWER("private-false", private_false, "ATTRIBUTE_VALUE_INVALID", "ATTRIBUTE_VALUE_INVALID", "A",
        "a key with CKA_PRIVATE false", "keys_are_private"),
    ALWAYS("D", "an unsupported attribute in a template: CKR_TEMPLATE_INCONSISTENT; a read-only one: "
        "CKR_ATTRIBUTE_READ_ONLY", "templates_are_checked"),
    ANSWER("rsa-size", rsa_size, "KEY_SIZE_RANGE", "KEY_SIZE_RANGE", "D, answer A",
        "RSA keys but of 2048 to 4096 bits in steps of 256", "rsa_sizes_are_2048_to_4096_by_256"),
    SWITCH(FLAG, "random-handles", random_handles, "on", "on", "O",
        "handles are random in each process; a stale one: CKR_KEY_HANDLE_INVALID", "stale_handles_are_invalid"),

    /* The cluster */
    SWITCH(NUMBER, "hsms", hsms, "2", "2", "D", "HSMs in each cluster", "find_asks_every_hsm"),
    SWITCH(FLAG, "hsm2m", hsm2m, "on", "on", "D",
        "hsm2m.medium: its rates, and certificates", "rates_are_as_published"),
    SWITCH(TIME, "latency", latency_us, "200us", "2ms", "D, time A",
        "a round trip: an attribute read and a signature take 1, find 1 per HSM", "round_trips_take_their_time"),
    SWITCH(FLAG, "validate-key", validate_key, "on", "on", "D",
        "C_SignInit with a mechanism that hashes takes 1 round trip", "round_trips_take_their_time"),
    SWITCH(FLAG, "availability-check", availability_check, "on", "on", "D, O",
        "C_SignInit with a token key of a one-HSM cluster: CKR_FUNCTION_FAILED", "one_hsm_is_too_few_for_token_keys"),
    SWITCH(TIME, "sync", sync_us, "0us", "0us", "O, time A",
        "so long a new key is on one HSM alone: the same", "fresh_key_fails_until_it_is_on_two_hsms"),
    SWITCH(FLAG, "throttle", throttle, "on", "on", "D",
        "signatures a second are limited as AWS publishes", "rates_are_as_published"),
    ANSWER("busy", busy, "FUNCTION_FAILED", "OPERATION_ACTIVE", "D",
        "more signatures than that", "busy_may_be_operation_active"),
    SWITCH(NUMBER, "lose-every", lose_every, "0", "0", "",
        "an HSM is lost after each so many round trips; 0: none", "lost_hsm_fails_one_call"),
    SWITCH(TIME, "lose-at", lose_at_us, "0us", "0us", "",
        "an HSM is lost so long after C_Initialize; 0: none", "hsm_is_lost_at_a_time"),
    PATH("control", control, "", "file with a number: an HSM is lost when it changes"),
    SWITCH(TIME, "replace", replace_us, "0us", "0us", "A",
        "so long the cluster is without what it lost; none left: CKR_FUNCTION_FAILED", "last_hsm_lost_fails_until_replaced"),
    SWITCH(FLAG, "lose-login", lose_login, "off", "on", "A",
        "with the HSM the login is lost", "lost_hsm_may_take_login_and_handles"),
    SWITCH(FLAG, "lose-handles", lose_handles, "off", "on", "A",
        "with the HSM the handles are lost", "lost_hsm_may_take_login_and_handles"),

    /* Certificates */
    SWITCH(FLAG, "certificates", certificates, "off", "off", "D",
        "certificate storage; hsm2m alone has it", "no_certificate_is_found_without_storage"),
    ANSWER("certificate-off", certificate_off, "ATTRIBUTE_VALUE_INVALID", "FUNCTION_FAILED", "A",
        "C_CreateObject of a certificate without storage", "no_certificate_is_found_without_storage"),
    SWITCH(NUMBER, "certificate-limit", certificate_limit, "60", "60", "D",
        "certificates in a cluster", "certificate_61_is_refused"),
    ANSWER("certificate-full", certificate_full, "FUNCTION_FAILED", "FUNCTION_FAILED", "A",
        "one more than that", "certificate_61_is_refused"),
    SWITCH(NUMBER, "certificate-reads", certificate_reads, "10", "10", "D",
        "so many reads of certificates a second and HSM; more: CKR_FUNCTION_FAILED, "
        "C_GetAttributeValue: CKR_DEVICE_ERROR", "certificate_rates_are_limited"),
    SWITCH(NUMBER, "certificate-writes", certificate_writes, "1", "1", "D",
        "so many writes; more: CKR_FUNCTION_FAILED", "certificate_rates_are_limited"),
    ANSWER("certificate-size", certificate_size, "ATTRIBUTE_VALUE_INVALID", "DATA_LEN_RANGE", "D, answer A",
        "a certificate of more than 32 KB, CKA_ID of 128, label of 127 bytes", "certificates_are_limited_in_size"),
    SWITCH(FLAG, "certificate-visible", certificate_visible, "on", "off", "A",
        "certificates are found before login", "certificates_may_be_seen_before_login"),

    /* Processes */
    ANSWER("fork", fork, "CRYPTOKI_NOT_INITIALIZED", "CRYPTOKI_NOT_INITIALIZED", "A",
        "any call in a child before its C_Initialize", "child_has_to_initialise"),
    SWITCH(FLAG, "fork-hang", fork_hang, "off", "on", "A",
        "such a call hangs instead", "child_may_hang"),
};
/* clang-format on */

struct sim_config sim_config;

const struct sim_rule *sim_rules(size_t *n)
{
    *n = sizeof(rules) / sizeof(rules[0]);
    return rules;
}

static CK_RV read_rv(const char *name, const char *value)
{
    size_t n = 0;
    const struct p11_rv_info *rvs = p11_rv_table(&n);

    if (strncmp(value, "CKR_", 4) != 0)
        return front_whole_number(value, name);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rvs[i].name, value) == 0)
            return rvs[i].rv;
    }
    front_die("%s: there is no %s", name, value);
}

static unsigned long read_time(const char *name, const char *value)
{
    static const struct {
        const char *name;
        unsigned long us;
    } units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 } };
    unsigned long n = front_number(&value, name);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(value, units[i].name) == 0 && n < 1000000000UL)
            return n * units[i].us;
    }
    front_die("%s: a time ends with us, ms or s", name);
}

static unsigned long read_flag(const char *name, const char *value)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        front_die("%s: \"%s\" is neither on nor off", name, value);
    return strcmp(value, "on") == 0;
}

static void set(const struct sim_rule *rule, const char *value)
{
    char *field = (char *)&sim_config + rule->offset;
    unsigned long n = 0;

    if (rule->kind == SIM_PATH) {
        if (snprintf(field, PATH_MAX, "%s", value) >= PATH_MAX)
            front_die("%s: the path is too long", rule->name);
        return;
    }
    if (rule->kind == SIM_RV)
        n = read_rv(rule->name, value);
    else if (rule->kind == SIM_NUMBER)
        n = front_whole_number(value, rule->name);
    else if (rule->kind == SIM_TIME)
        n = read_time(rule->name, value);
    else
        n = read_flag(rule->name, value);
    memcpy(field, &n, sizeof(n));
}

static void set_by_name(const char *item)
{
    size_t len = strcspn(item, "=");

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].name != NULL && strlen(rules[i].name) == len &&
            strncmp(rules[i].name, item, len) == 0 && item[len] == '=') {
            set(&rules[i], item + len + 1);
            return;
        }
    }
    front_die(SIM_VARIABLE ": \"%s\" is not SWITCH=VALUE", item);
}

void sim_configure(const char *text)
{
    const size_t strict_len = strlen("strict");
    bool strict = strncmp(text, "strict", strict_len) == 0 &&
                  (text[strict_len] == ',' || text[strict_len] == '\0');
    char item[PATH_MAX + 64];

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].kind != SIM_ALWAYS)
            set(&rules[i], strict ? rules[i].strict : rules[i].normal);
    }
    if (strict)
        text += strict_len + (text[strict_len] == ',');
    while (front_next_item(&text, ',', item, sizeof(item), SIM_VARIABLE))
        set_by_name(item);
    if (sim_config.hsms == 0 || sim_config.max_sessions == 0)
        front_die(SIM_VARIABLE ": hsms and max-sessions are at least 1");
    sim_cluster_reset();
}
