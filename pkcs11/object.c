/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"
#include "object.h"

CK_RV p11_objects_find(struct p11_slot *slot, struct p11_session *session,
                       CK_ATTRIBUTE *tmpl, CK_ULONG n,
                       CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count,
                       const char *where, struct p11_error *err)
{
    CK_FUNCTION_LIST *fl = slot->module->fl;
    CK_RV rv;

    *count = 0;
    rv = P11_CALL(fl, C_FindObjectsInit, session->handle, tmpl, n);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsInit", where);
    rv = P11_CALL(fl, C_FindObjects, session->handle, objects, max, count);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjects", where);
    if (*count > max)
        *count = max;
    rv = P11_CALL(fl, C_FindObjectsFinal, session->handle);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsFinal", where);
    return CKR_OK;
}
