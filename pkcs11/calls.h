/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every PKCS #11 call that this project makes, one function each: the same
 * names, parameters and answers as in PKCS #11 v2.40, chapter 5, with the
 * module's function list in front.
 *
 * A function that the module left out (a NULL entry) answers
 * CKR_FUNCTION_NOT_SUPPORTED instead of crashing.  At log level debug each
 * call is one line: name, milliseconds, CK_RV; never a parameter.
 *
 * All of them may block for as long as the token likes.
 */
#ifndef HSMSIGN_CALLS_H
#define HSMSIGN_CALLS_H

#include "cryptoki.h"

CK_RV p11_C_Initialize(CK_FUNCTION_LIST *fl, CK_C_INITIALIZE_ARGS *args);
CK_RV p11_C_Finalize(CK_FUNCTION_LIST *fl);
CK_RV p11_C_GetInfo(CK_FUNCTION_LIST *fl, CK_INFO *info);
CK_RV p11_C_GetSlotList(CK_FUNCTION_LIST *fl, CK_BBOOL token_present,
                        CK_SLOT_ID *slots, CK_ULONG *count);
CK_RV p11_C_GetSlotInfo(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot,
                        CK_SLOT_INFO *info);
CK_RV p11_C_GetTokenInfo(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot,
                         CK_TOKEN_INFO *info);
/* Always read-write: CloudHSM refuses others.  Notify is NULL: it must be. */
CK_RV p11_C_OpenSession(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot,
                        CK_SESSION_HANDLE *session);
CK_RV p11_C_CloseSession(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session);
CK_RV p11_C_GetSessionInfo(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                           CK_SESSION_INFO *info);
CK_RV p11_C_Login(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                  CK_USER_TYPE user, const unsigned char *pin, size_t pin_len);
CK_RV p11_C_FindObjectsInit(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                            CK_ATTRIBUTE *tmpl, CK_ULONG count);
CK_RV p11_C_FindObjects(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                        CK_OBJECT_HANDLE *objects, CK_ULONG max,
                        CK_ULONG *count);
CK_RV p11_C_FindObjectsFinal(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session);
CK_RV p11_C_GetAttributeValue(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                              CK_OBJECT_HANDLE object, CK_ATTRIBUTE *tmpl,
                              CK_ULONG count);
CK_RV p11_C_SignInit(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                     CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV p11_C_Sign(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                 const unsigned char *data, size_t len, unsigned char *sig,
                 CK_ULONG *sig_len);

#endif
