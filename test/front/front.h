/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test doubles share that are a PKCS #11 module in front of another:
 * the shim (shim/) and the CloudHSM simulator (cloudhsm/).
 *
 *   front.c          settings and their errors, the module behind, attributes
 *   front_session.c  which sessions are open
 */
#ifndef HSMSIGN_FRONT_H
#define HSMSIGN_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include "../../pkcs11/cryptoki.h"

/* A module that shows its own names could be mistaken for another one. */
#pragma GCC visibility push(hidden)

extern const char front_name[]; /* who we are, for front_die; the front's own */

/* One line to stderr, then abort(): a test must not go on with a typo. */
_Noreturn void front_die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

void front_sleep_us(unsigned long us);

/*
 * Read a decimal or 0x number and step *text over it; no sign, no blanks, and
 * no octal, which "010" in a test was hardly meant to be.  variable is named
 * when there is none.
 */
unsigned long front_number(const char **text, const char *variable);
/* The same where nothing may follow. */
unsigned long front_whole_number(const char *text, const char *variable);

/*
 * Copy the next item of a list to item and step *list over it and its
 * separator; false at the end.  An empty item is a typo.
 */
bool front_next_item(const char **list, char separator, char *item, size_t size,
                     const char *variable);

/*
 * Open the module behind.  own is the front's C_GetFunctionList, which must
 * not be behind itself; what list has and the module behind lacks becomes
 * absent there too.  Dies where there is no such module.
 */
CK_FUNCTION_LIST *front_load(const char *path, CK_C_GetFunctionList own,
                             CK_FUNCTION_LIST *list);

enum { FRONT_MAX_VALUE = 256 };

/* What C_GetAttributeValue says of one attribute, whatever the token says. */
struct front_answer {
    CK_RV rv; /* not CKR_OK: the length is -1, and that is the answer */
    size_t len;
    CK_BYTE value[FRONT_MAX_VALUE];
};

/* Fill *answer and return true, or false to have the token asked. */
typedef bool front_answer_fn(CK_ATTRIBUTE_TYPE type,
                             struct front_answer *answer, const void *arg);

/* C_GetAttributeValue with some answers ours (PKCS #11 v2.40, 5.7). */
CK_RV front_get_attributes(CK_FUNCTION_LIST *behind, CK_SESSION_HANDLE session,
                           CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
                           CK_ULONG count, front_answer_fn *answer,
                           const void *arg);

/* An open session, and what the front keeps with it, for its thread alone. */
struct front_session {
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE handle; /* CK_INVALID_HANDLE while it is being opened */
    bool taken;
    int state;  /* the front's; 0 at first */
    void *data; /* the front's, from malloc(); freed with the session */
};

/* Registers the fork handlers; once, before anything below. */
void front_sessions_init(void);
/* Take a place for a session of slot; false when a limit (0: none) is met. */
bool front_session_reserve(CK_SLOT_ID slot, unsigned long max_of_slot,
                           unsigned long max);
/* C_OpenSession answered: the place is for this handle, or is given back. */
void front_session_opened(CK_SLOT_ID slot, CK_SESSION_HANDLE session);
void front_session_unreserve(CK_SLOT_ID slot);
void front_session_closed(CK_SESSION_HANDLE session);
/* All those of one slot, or (NULL) of all. */
void front_sessions_closed(const CK_SLOT_ID *slot);
/* The session of a handle, which is open; NULL if there is none. */
struct front_session *front_session(CK_SESSION_HANDLE session);
/* Any open session of a slot; CK_INVALID_HANDLE if there is none. */
CK_SESSION_HANDLE front_session_of(CK_SLOT_ID slot);

#pragma GCC visibility pop

#endif
