/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's environment.  Read once, when the shim is first asked for its
 * function list: a program that calls C_Finalize and C_Initialize again in
 * order to recover must not meet the same "third C_Sign" twice.
 *
 * A table of variables, each with its parser.  An empty value is the same as
 * none, so that a shell may write HSMSIGN_SHIM_FAIL= in front of a command.
 * Everything that is not understood ends the process, variables of our prefix
 * that are not in the table included: a test that silently ran without its
 * fault would pass for the wrong reason.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim.h"

#define PREFIX "HSMSIGN_SHIM_"

/* The longest item of a list: an attribute with SHIM_MAX_VALUE bytes. */
enum { ITEM_MAX = 2 * SHIM_MAX_VALUE + 64 };

static void read_module(struct shim_config *config, const char *value)
{
    if (strlen(value) >= sizeof(config->module))
        front_die(PREFIX "MODULE: the path is too long");
    memcpy(config->module, value, strlen(value) + 1);
}

static void read_log(struct shim_config *config, const char *value)
{
    config->log = open(value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (config->log < 0)
        front_die(PREFIX "LOG: cannot open %s (errno %d)", value, errno);
}

static void read_delay(struct shim_config *config, const char *value)
{
    config->delay_us = front_whole_number(value, PREFIX "DELAY_US");
}

static void read_max_sessions(struct shim_config *config, const char *value)
{
    config->max_sessions = front_whole_number(value, PREFIX "MAX_SESSIONS");
    if (config->max_sessions == 0)
        front_die(PREFIX "MAX_SESSIONS: must be at least 1");
}

static void read_pinpad(struct shim_config *config, const char *value)
{
    if (strlen(value) > sizeof(config->pinpad))
        front_die(PREFIX "PINPAD: the PIN is too long");
    config->pinpad_len = strlen(value);
    memcpy(config->pinpad, value, config->pinpad_len);
}

/* "C_Sign=0x30*1@3": the name, then number, *count and @first in this order. */
static void read_rule(struct shim_rule *rule, const char *item)
{
    size_t len = strcspn(item, "=");
    const char *text = item + len;
    int function = 0;

    while (function < SHIM_FUNCTIONS &&
           (strlen(shim_names[function]) != len ||
            strncmp(shim_names[function], item, len) != 0))
        function++;
    if (function == SHIM_FUNCTIONS || *text != '=')
        front_die(PREFIX "FAIL: \"%s\" does not begin with FUNCTION=", item);
    text++;
    *rule = (struct shim_rule){ .function = (enum shim_function)function,
                                .rv = front_number(&text, PREFIX "FAIL"),
                                .first = 1 };
    if (*text == '*') {
        text++;
        rule->count = front_number(&text, PREFIX "FAIL");
        if (rule->count == 0)
            front_die(PREFIX "FAIL: \"%s\": *COUNT must be at least 1", item);
    }
    if (*text == '@') {
        text++;
        rule->first = front_number(&text, PREFIX "FAIL");
    }
    if (*text != '\0' || rule->first == 0 || rule->rv == CKR_OK)
        front_die(PREFIX "FAIL: \"%s\" is not FUNCTION=CK_RV[*COUNT][@N] with "
                         "a CK_RV other than 0 and an N of at least 1",
                  item);
}

static void read_fail(struct shim_config *config, const char *value)
{
    char item[ITEM_MAX];

    while (front_next_item(&value, ';', item, sizeof(item), PREFIX "FAIL")) {
        if (config->n_rules == SHIM_MAX_RULES)
            front_die(PREFIX "FAIL: more than %d rules", SHIM_MAX_RULES);
        read_rule(&config->rules[config->n_rules++], item);
    }
}

static void read_token_flags(struct shim_config *config, const char *value)
{
    char item[ITEM_MAX];

    while (front_next_item(&value, ',', item, sizeof(item),
                           PREFIX "TOKEN_FLAGS")) {
        CK_FLAGS flags = 0;

        if (*item != '+' && *item != '-')
            front_die(PREFIX "TOKEN_FLAGS: \"%s\" does not begin with + or -",
                      item);
        flags = front_whole_number(item + 1, PREFIX "TOKEN_FLAGS");
        if (*item == '+')
            config->set_flags |= flags;
        else
            config->clear_flags |= flags;
    }
    if ((config->set_flags & config->clear_flags) != 0)
        front_die(PREFIX "TOKEN_FLAGS: a bit is both set and cleared");
}

static CK_BYTE read_hex_byte(const char *text, const char *item)
{
    char digits[3] = "";

    if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
        front_die(PREFIX "ATTR: \"%s\" is not TYPE=HEX or TYPE=-", item);
    memcpy(digits, text, 2);
    return (CK_BYTE)strtoul(digits, NULL, 16);
}

/* "0x202=01", "0x102=" (empty), "0x180=-" (unavailable). */
static void read_attribute(struct shim_attribute *attribute, const char *item)
{
    const char *text = item;

    *attribute =
        (struct shim_attribute){ .type = front_number(&text, PREFIX "ATTR") };
    if (*text != '=')
        front_die(PREFIX "ATTR: \"%s\" is not TYPE=HEX or TYPE=-", item);
    text++;
    if (strcmp(text, "-") == 0) {
        attribute->answer.rv = CKR_ATTRIBUTE_TYPE_INVALID;
        return;
    }
    for (; *text != '\0'; text += 2) {
        if (attribute->answer.len == SHIM_MAX_VALUE)
            front_die(PREFIX "ATTR: a value is longer than %d bytes",
                      SHIM_MAX_VALUE);
        attribute->answer.value[attribute->answer.len++] =
            read_hex_byte(text, item);
    }
}

static void read_attributes(struct shim_config *config, const char *value)
{
    char item[ITEM_MAX];

    while (front_next_item(&value, ';', item, sizeof(item), PREFIX "ATTR")) {
        struct shim_attribute *attribute =
            &config->attributes[config->n_attributes];

        if (config->n_attributes == SHIM_MAX_ATTRIBUTES)
            front_die(PREFIX "ATTR: more than %d attributes",
                      SHIM_MAX_ATTRIBUTES);
        read_attribute(attribute, item);
        config->n_attributes++;
        if (attribute->type == CKA_ALWAYS_AUTHENTICATE &&
            attribute->answer.len == 1)
            config->always_authenticate =
                attribute->answer.value[0] != CK_FALSE;
    }
}

static const struct {
    const char *name;
    void (*read)(struct shim_config *config, const char *value);
} variables[] = {
    { "MODULE", read_module },  { "LOG", read_log },
    { "DELAY_US", read_delay }, { "MAX_SESSIONS", read_max_sessions },
    { "FAIL", read_fail },      { "TOKEN_FLAGS", read_token_flags },
    { "PINPAD", read_pinpad },  { "ATTR", read_attributes },
};

/* One entry of environ, the prefix taken off: "LOG=/tmp/x". */
static void read_variable(struct shim_config *config, const char *entry)
{
    const size_t n = sizeof(variables) / sizeof(variables[0]);
    size_t len = strcspn(entry, "=");
    size_t i = 0;

    while (i < n && (strlen(variables[i].name) != len ||
                     strncmp(variables[i].name, entry, len) != 0))
        i++;
    if (i == n)
        front_die(PREFIX "%.*s: no such variable", (int)len, entry);
    if (entry[len] == '=' && entry[len + 1] != '\0')
        variables[i].read(config, entry + len + 1);
}

void shim_config_read(struct shim_config *config)
{
    const size_t prefix = strlen(PREFIX);
    char **entry = NULL;

    *config = (struct shim_config){ .log = -1 };
    for (entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, PREFIX, prefix) == 0)
            read_variable(config, *entry + prefix);
    }
    if (config->module[0] == '\0')
        front_die(PREFIX "MODULE: not set");
    if ((config->set_flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0 &&
        config->pinpad_len == 0)
        front_die(PREFIX "TOKEN_FLAGS: a protected authentication path needs "
                         "the PIN in " PREFIX "PINPAD");
}
