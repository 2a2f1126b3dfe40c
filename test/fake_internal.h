/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the fake token share and a test has no business with.
 * fake_enter takes the mutex and fake_leave gives it back; all the others
 * expect it to be held.
 */
#ifndef HSMSIGN_TEST_FAKE_INTERNAL_H
#define HSMSIGN_TEST_FAKE_INTERNAL_H

#include "fake_token.h"

#pragma GCC visibility push(hidden)

/*
 * Begin a call: the test's hook, then the mutex, then what a rule or a missing
 * C_Initialize makes it answer; CKR_OK to go on.
 */
CK_RV fake_enter(struct fake *fake, const struct fake_call *call);
/* End it: into the log, mutex back, answer rv. */
CK_RV fake_leave(struct fake *fake, struct fake_call *call, CK_RV rv);

/* One line to stderr, then abort(): the test itself is wrong. */
_Noreturn void fake_die(const char *what, const char *value);

/* The slot if it has a token, or NULL with *rv filled. */
struct fake_slot *fake_token(struct fake *fake, CK_SLOT_ID id, CK_RV *rv);
/* The open session, or NULL with *rv filled. */
struct fake_session *fake_session(struct fake *fake, CK_SESSION_HANDLE handle,
                                  CK_RV *rv);
/* No sessions, no login, no handles: C_Finalize, and a forked child. */
void fake_forget(struct fake *fake);
/*
 * In a forked child, which is a new application (v2.40, 2.6) unless the token
 * is as SoftHSM, which goes on with its copy.  The parent's other threads, and
 * their calls, are not in it.
 */
void fake_forked(struct fake *fake);
/* No token is logged in; handles stay. */
void fake_lose_login(struct fake *fake);
/* New handles for the objects of a slot (NULL: of all), so that none fits. */
void fake_renew_handles(struct fake *fake, const size_t *slot,
                        bool private_only);
bool fake_is_true(const struct fake_object *object, CK_ATTRIBUTE_TYPE type);
/* A CK_ULONG attribute, or absent. */
CK_ULONG fake_number(const struct fake_object *object, CK_ATTRIBUTE_TYPE type,
                     CK_ULONG absent);
/* Whether it is an object that only a logged-in user sees. */
bool fake_needs_login(const struct fake *fake,
                      const struct fake_object *object);
/* Whether each signature wants C_Login(CKU_CONTEXT_SPECIFIC). */
bool fake_wants_pin(const struct fake *fake, const struct fake_object *key);
/* Whether the type is in a list that ends with CK_UNAVAILABLE_INFORMATION. */
bool fake_listed(const CK_ULONG *list, CK_ULONG type);
void fake_template(struct fake_call *call, const CK_ATTRIBUTE *templ,
                   CK_ULONG n);

/*
 * The object of the session's token with that handle, or NULL with *rv filled;
 * none is what it gets where no object has that handle.
 */
struct fake_object *fake_object(struct fake *fake,
                                const struct fake_session *session,
                                CK_OBJECT_HANDLE handle, CK_RV none, CK_RV *rv);

/* In fake_session.c and fake_object.c, for the list in fake_token.c. */
CK_RV fake_C_OpenSession(CK_SLOT_ID id, CK_FLAGS flags, void *application,
                         CK_NOTIFY notify, CK_SESSION_HANDLE *session);
CK_RV fake_C_CloseSession(CK_SESSION_HANDLE session);
CK_RV fake_C_CloseAllSessions(CK_SLOT_ID id);
CK_RV fake_C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO *info);
CK_RV fake_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin,
                   CK_ULONG len);
CK_RV fake_C_Logout(CK_SESSION_HANDLE session);
CK_RV fake_C_GetAttributeValue(CK_SESSION_HANDLE session,
                               CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
                               CK_ULONG count);
CK_RV fake_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                             CK_ULONG count);
CK_RV fake_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects,
                         CK_ULONG max, CK_ULONG *count);
CK_RV fake_C_FindObjectsFinal(CK_SESSION_HANDLE session);
CK_RV fake_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                      CK_OBJECT_HANDLE key);
CK_RV fake_C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len,
                  CK_BYTE *sig, CK_ULONG *siglen);
/* In fake_token.c, for fake_module.c. */
CK_RV fake_C_GetFunctionList(CK_FUNCTION_LIST **list);

#pragma GCC visibility pop

#endif
