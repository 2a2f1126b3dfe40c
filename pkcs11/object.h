/* SPDX-License-Identifier: Apache-2.0 */
/* Searching for objects (PKCS #11 v2.40, 5.7). */
#ifndef HSMSIGN_OBJECT_H
#define HSMSIGN_OBJECT_H

#include "slot.h"

/*
 * Up to max handles of the objects that have the n attributes of tmpl.  One
 * C_FindObjects: it ends when the answer is known.  *count receives their
 * number.  where is for the error's text.  Returns CKR_OK or what a call
 * answered; the session is then not to be used for another search.
 */
CK_RV p11_objects_find(struct p11_slot *slot, struct p11_session *session,
                       CK_ATTRIBUTE *tmpl, CK_ULONG n,
                       CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count,
                       const char *where, struct p11_error *err);

#endif
