/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the shim share; shim.c says what the shim is.
 *
 *   shim_config.c   the environment, read once, as a struct shim_config
 *   shim_call.c     what is done around every call: count, sleep, fail, log
 *   shim.c          the functions themselves
 *
 * What it shares with other modules in front of one is in front/.
 */
#ifndef HSMSIGN_SHIM_H
#define HSMSIGN_SHIM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include "../front/front.h"

/* A module that shows its own names could be mistaken for another one. */
#pragma GCC visibility push(hidden)

#define MODELLED(name)                   SHIM_##name,
#define OTHER(name, first, params, args) SHIM_##name,
enum shim_function {
#include "../cryptoki_functions.h"
    SHIM_FUNCTIONS
};

enum {
    SHIM_MAX_RULES = 32,
    SHIM_MAX_ATTRIBUTES = 16,
    SHIM_MAX_VALUE = FRONT_MAX_VALUE
};

/* HSMSIGN_SHIM_FAIL: calls first to first + count - 1 answer rv. */
struct shim_rule {
    enum shim_function function;
    CK_RV rv;
    unsigned long first; /* 1 is the first call after the load */
    unsigned long count; /* 0: for ever */
};

/* HSMSIGN_SHIM_ATTR: what C_GetAttributeValue says, whatever the token says. */
struct shim_attribute {
    CK_ATTRIBUTE_TYPE type;
    struct front_answer answer;
};

/* The environment; all zero but log means "forward, and nothing else". */
struct shim_config {
    char module[PATH_MAX];
    int log; /* a file descriptor, or -1 */
    unsigned long delay_us;
    unsigned long max_sessions; /* per slot; 0: no limit of ours */
    CK_FLAGS set_flags, clear_flags;
    bool always_authenticate; /* CKA_ALWAYS_AUTHENTICATE is forced to true */
    size_t pinpad_len;        /* 0: HSMSIGN_SHIM_PINPAD is not set */
    CK_BYTE pinpad[SHIM_MAX_VALUE];
    size_t n_rules;
    struct shim_rule rules[SHIM_MAX_RULES];
    size_t n_attributes;
    struct shim_attribute attributes[SHIM_MAX_ATTRIBUTES];
};

extern const char *const shim_names[SHIM_FUNCTIONS];
extern struct shim_config shim_config; /* written once, by the load */

/*
 * Fill *config from the HSMSIGN_SHIM_ variables.  What cannot be understood,
 * an unknown variable of that prefix included, ends the process by front_die.
 */
void shim_config_read(struct shim_config *config);

/* A call under way: its line of the log grows as its arguments are seen. */
struct shim_call {
    enum shim_function function;
    size_t len;
    char notes[2048]; /* " session=0x1 ..." */
};

/* Begin a call: CKR_OK to go on, or what a rule makes it answer. */
CK_RV shim_call_begin(struct shim_call *call, enum shim_function function);
/* Add to the call's line, which is cut (with "...") where it grows too long. */
void shim_call_note(struct shim_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* End a call: write its line, in one write, and answer rv. */
CK_RV shim_call_end(const struct shim_call *call, CK_RV rv);

/*
 * PKCS #11 v2.40, 5.11: C_SignInit, C_Login(CKU_CONTEXT_SPECIFIC), C_Sign.  It
 * is a session's state when a key is made to want CKA_ALWAYS_AUTHENTICATE.
 */
enum shim_auth {
    SHIM_AUTH_NONE,   /* no signature has begun */
    SHIM_AUTH_WANTED, /* C_SignInit came */
    SHIM_AUTH_GIVEN   /* and then the PIN */
};

#pragma GCC visibility pop

#endif
