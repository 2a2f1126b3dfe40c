/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of PKCS #11 v2.40 as two lists, so that the fake token and the
 * shim name each of them once.  No include guard: who includes this file
 * defines the macro MODELLED or OTHER (or both) first, and each row becomes
 * what the macro makes of it.  Both are undefined at the end.
 *
 * MODELLED(name)                      what hsmsign calls, or a program in front
 *                                     of it might: both doubles know these
 * OTHER(name, first, params, args)    all the rest: the shim forwards them, the
 *                                     fake does not have them; first is the
 *                                     first parameter, for a log
 */
#ifndef MODELLED
#define MODELLED(name)
#endif
#ifndef OTHER
#define OTHER(name, first, params, args)
#endif

MODELLED(C_Initialize)
MODELLED(C_Finalize)
MODELLED(C_GetInfo)
MODELLED(C_GetFunctionList)
MODELLED(C_GetSlotList)
MODELLED(C_GetSlotInfo)
MODELLED(C_GetTokenInfo)
MODELLED(C_GetMechanismList)
MODELLED(C_GetMechanismInfo)
MODELLED(C_OpenSession)
MODELLED(C_CloseSession)
MODELLED(C_CloseAllSessions)
MODELLED(C_GetSessionInfo)
MODELLED(C_Login)
MODELLED(C_Logout)
MODELLED(C_GetAttributeValue)
MODELLED(C_FindObjectsInit)
MODELLED(C_FindObjects)
MODELLED(C_FindObjectsFinal)
MODELLED(C_SignInit)
MODELLED(C_Sign)

OTHER(C_InitToken, slot,
      (CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG pinlen, CK_BYTE *label),
      (slot, pin, pinlen, label))
OTHER(C_WaitForSlotEvent, flags,
      (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved),
      (flags, slot, reserved))
OTHER(C_InitPIN, session,
      (CK_SESSION_HANDLE session, CK_BYTE *pin, CK_ULONG pinlen),
      (session, pin, pinlen))
OTHER(C_SetPIN, session,
      (CK_SESSION_HANDLE session, CK_BYTE *old, CK_ULONG oldlen, CK_BYTE *pin,
       CK_ULONG pinlen),
      (session, old, oldlen, pin, pinlen))
OTHER(C_GetOperationState, session,
      (CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG *len),
      (session, state, len))
OTHER(C_SetOperationState, session,
      (CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG len,
       CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key),
      (session, state, len, encryption_key, authentication_key))
OTHER(C_CreateObject, session,
      (CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count,
       CK_OBJECT_HANDLE *object),
      (session, templ, count, object))
OTHER(C_CopyObject, session,
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
       CK_ULONG count, CK_OBJECT_HANDLE *copy),
      (session, object, templ, count, copy))
OTHER(C_DestroyObject, session,
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object), (session, object))
OTHER(C_GetObjectSize, session,
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *size),
      (session, object, size))
OTHER(C_SetAttributeValue, session,
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
       CK_ULONG count),
      (session, object, templ, count))
OTHER(C_EncryptInit, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key),
      (session, mechanism, key))
OTHER(C_Encrypt, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_EncryptUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_EncryptFinal, session,
      (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *outlen),
      (session, out, outlen))
OTHER(C_DecryptInit, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key),
      (session, mechanism, key))
OTHER(C_Decrypt, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_DecryptUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_DecryptFinal, session,
      (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *outlen),
      (session, out, outlen))
OTHER(C_DigestInit, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism),
      (session, mechanism))
OTHER(C_Digest, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_DigestUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen),
      (session, in, inlen))
OTHER(C_DigestKey, session, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key),
      (session, key))
OTHER(C_DigestFinal, session,
      (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *outlen),
      (session, out, outlen))
OTHER(C_SignUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen),
      (session, in, inlen))
OTHER(C_SignFinal, session,
      (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *outlen),
      (session, out, outlen))
OTHER(C_SignRecoverInit, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key),
      (session, mechanism, key))
OTHER(C_SignRecover, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_VerifyInit, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key),
      (session, mechanism, key))
OTHER(C_Verify, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *sig,
       CK_ULONG siglen),
      (session, in, inlen, sig, siglen))
OTHER(C_VerifyUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen),
      (session, in, inlen))
OTHER(C_VerifyFinal, session,
      (CK_SESSION_HANDLE session, CK_BYTE *sig, CK_ULONG siglen),
      (session, sig, siglen))
OTHER(C_VerifyRecoverInit, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key),
      (session, mechanism, key))
OTHER(C_VerifyRecover, session,
      (CK_SESSION_HANDLE session, CK_BYTE *sig, CK_ULONG siglen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, sig, siglen, out, outlen))
OTHER(C_DigestEncryptUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_DecryptDigestUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_SignEncryptUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_DecryptVerifyUpdate, session,
      (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG inlen, CK_BYTE *out,
       CK_ULONG *outlen),
      (session, in, inlen, out, outlen))
OTHER(C_GenerateKey, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *templ,
       CK_ULONG count, CK_OBJECT_HANDLE *key),
      (session, mechanism, templ, count, key))
OTHER(C_GenerateKeyPair, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_ATTRIBUTE *public_templ, CK_ULONG public_count,
       CK_ATTRIBUTE *private_templ, CK_ULONG private_count,
       CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),
      (session, mechanism, public_templ, public_count, private_templ,
       private_count, public_key, private_key))
OTHER(C_WrapKey, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, CK_BYTE *wrapped,
       CK_ULONG *len),
      (session, mechanism, wrapping_key, key, wrapped, len))
OTHER(C_UnwrapKey, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE unwrapping_key, CK_BYTE *wrapped, CK_ULONG len,
       CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *key),
      (session, mechanism, unwrapping_key, wrapped, len, templ, count, key))
OTHER(C_DeriveKey, session,
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE base_key, CK_ATTRIBUTE *templ, CK_ULONG count,
       CK_OBJECT_HANDLE *key),
      (session, mechanism, base_key, templ, count, key))
OTHER(C_SeedRandom, session,
      (CK_SESSION_HANDLE session, CK_BYTE *seed, CK_ULONG len),
      (session, seed, len))
OTHER(C_GenerateRandom, session,
      (CK_SESSION_HANDLE session, CK_BYTE *random, CK_ULONG len),
      (session, random, len))
OTHER(C_GetFunctionStatus, session, (CK_SESSION_HANDLE session), (session))
OTHER(C_CancelFunction, session, (CK_SESSION_HANDLE session), (session))

#undef MODELLED
#undef OTHER
