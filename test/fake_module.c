/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token as a module that can be loaded: linked with the other fake_
 * files into a shared object, whose symbols are C_GetFunctionList and fake_get
 * alone.  A test dlopens the same path as the code under test does, and finds
 * that object's fake by dlsym("fake_get").
 */
#include "fake_internal.h"

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    return fake_C_GetFunctionList(list);
}
