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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim.h"

#define PREFIX "HSMSIGN_SHIM_"

/* The longest item of a list: an attribute with SHIM_MAX_VALUE bytes. */
enum { ITEM_MAX = 2 * SHIM_MAX_VALUE + 64 };

void shim_die(const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    (void)fprintf(stderr, "shim: %s\n", line);
    abort();
}

/*
 * Read a decimal or 0x number and step *text over it; no sign, no blanks, and
 * no octal, which "010" in a test was hardly meant to be.
 */
static unsigned long read_number(const char **text, const char *variable)
{
    int base = strncmp(*text, "0x", 2) == 0 ? 16 : 10;
    const char *digits = base == 16 ? *text + 2 : *text;
    char *end = NULL;
    unsigned long n = 0;

    errno = 0;
    if (isxdigit((unsigned char)*digits))
        n = strtoul(digits, &end, base);
    if (end == NULL || end == digits || errno != 0)
        shim_die(PREFIX "%s: a number is expected at \"%s\"", variable, *text);
    *text = end;
    return n;
}

/* The same where nothing may follow. */
static unsigned long read_whole_number(const char *text, const char *variable)
{
    const char *end = text;
    unsigned long n = read_number(&end, variable);

    if (*end != '\0')
        shim_die(PREFIX "%s: \"%s\" is not a number", variable, text);
    return n;
}

/*
 * Copy the next item of a list to item and step *list over it and its
 * separator; false at the end.  An empty item is a typo.
 */
static bool next_item(const char **list, char separator, char item[ITEM_MAX],
                      const char *variable)
{
    const char separators[2] = { separator, '\0' };
    size_t len = strcspn(*list, separators);

    if (**list == '\0')
        return false;
    if (len == 0 || len >= ITEM_MAX)
        shim_die(PREFIX "%s: an item is empty or too long", variable);
    memcpy(item, *list, len);
    item[len] = '\0';
    *list += len;
    if (**list == separator) {
        (*list)++;
        if (**list == '\0')
            shim_die(PREFIX "%s: nothing after the last '%c'", variable,
                     separator);
    }
    return true;
}

static void read_module(struct shim_config *config, const char *value)
{
    if (strlen(value) >= sizeof(config->module))
        shim_die(PREFIX "MODULE: the path is too long");
    memcpy(config->module, value, strlen(value) + 1);
}

static void read_log(struct shim_config *config, const char *value)
{
    config->log = open(value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (config->log < 0)
        shim_die(PREFIX "LOG: cannot open %s (errno %d)", value, errno);
}

static void read_delay(struct shim_config *config, const char *value)
{
    config->delay_us = read_whole_number(value, "DELAY_US");
}

static void read_max_sessions(struct shim_config *config, const char *value)
{
    config->max_sessions = read_whole_number(value, "MAX_SESSIONS");
    if (config->max_sessions == 0)
        shim_die(PREFIX "MAX_SESSIONS: must be at least 1");
}

static void read_pinpad(struct shim_config *config, const char *value)
{
    if (strlen(value) > sizeof(config->pinpad))
        shim_die(PREFIX "PINPAD: the PIN is too long");
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
        shim_die(PREFIX "FAIL: \"%s\" does not begin with FUNCTION=", item);
    text++;
    *rule = (struct shim_rule){ .function = (enum shim_function)function,
                                .rv = read_number(&text, "FAIL"),
                                .first = 1 };
    if (*text == '*') {
        text++;
        rule->count = read_number(&text, "FAIL");
        if (rule->count == 0)
            shim_die(PREFIX "FAIL: \"%s\": *COUNT must be at least 1", item);
    }
    if (*text == '@') {
        text++;
        rule->first = read_number(&text, "FAIL");
    }
    if (*text != '\0' || rule->first == 0 || rule->rv == CKR_OK)
        shim_die(PREFIX "FAIL: \"%s\" is not FUNCTION=CK_RV[*COUNT][@N] with "
                        "a CK_RV other than 0 and an N of at least 1",
                 item);
}

static void read_fail(struct shim_config *config, const char *value)
{
    char item[ITEM_MAX];

    while (next_item(&value, ';', item, "FAIL")) {
        if (config->n_rules == SHIM_MAX_RULES)
            shim_die(PREFIX "FAIL: more than %d rules", SHIM_MAX_RULES);
        read_rule(&config->rules[config->n_rules++], item);
    }
}

static void read_token_flags(struct shim_config *config, const char *value)
{
    char item[ITEM_MAX];

    while (next_item(&value, ',', item, "TOKEN_FLAGS")) {
        CK_FLAGS flags = 0;

        if (*item != '+' && *item != '-')
            shim_die(PREFIX "TOKEN_FLAGS: \"%s\" does not begin with + or -",
                     item);
        flags = read_whole_number(item + 1, "TOKEN_FLAGS");
        if (*item == '+')
            config->set_flags |= flags;
        else
            config->clear_flags |= flags;
    }
    if ((config->set_flags & config->clear_flags) != 0)
        shim_die(PREFIX "TOKEN_FLAGS: a bit is both set and cleared");
}

static CK_BYTE read_hex_byte(const char *text, const char *item)
{
    char digits[3] = "";

    if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
        shim_die(PREFIX "ATTR: \"%s\" is not TYPE=HEX or TYPE=-", item);
    memcpy(digits, text, 2);
    return (CK_BYTE)strtoul(digits, NULL, 16);
}

/* "0x202=01", "0x102=" (empty), "0x180=-" (unavailable). */
static void read_attribute(struct shim_attribute *attribute, const char *item)
{
    const char *text = item;

    *attribute = (struct shim_attribute){ .type = read_number(&text, "ATTR") };
    if (*text != '=')
        shim_die(PREFIX "ATTR: \"%s\" is not TYPE=HEX or TYPE=-", item);
    text++;
    if (strcmp(text, "-") == 0) {
        attribute->unavailable = true;
        return;
    }
    for (; *text != '\0'; text += 2) {
        if (attribute->len == sizeof(attribute->value))
            shim_die(PREFIX "ATTR: a value is longer than %d bytes",
                     SHIM_MAX_VALUE);
        attribute->value[attribute->len++] = read_hex_byte(text, item);
    }
}

static void read_attributes(struct shim_config *config, const char *value)
{
    char item[ITEM_MAX];

    while (next_item(&value, ';', item, "ATTR")) {
        struct shim_attribute *attribute =
            &config->attributes[config->n_attributes];

        if (config->n_attributes == SHIM_MAX_ATTRIBUTES)
            shim_die(PREFIX "ATTR: more than %d attributes",
                     SHIM_MAX_ATTRIBUTES);
        read_attribute(attribute, item);
        config->n_attributes++;
        if (attribute->type == CKA_ALWAYS_AUTHENTICATE && attribute->len == 1)
            config->always_authenticate = attribute->value[0] != CK_FALSE;
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
        shim_die(PREFIX "%.*s: no such variable", (int)len, entry);
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
        shim_die(PREFIX "MODULE: not set");
    if ((config->set_flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0 &&
        config->pinpad_len == 0)
        shim_die(PREFIX "TOKEN_FLAGS: a protected authentication path needs "
                        "the PIN in " PREFIX "PINPAD");
}
