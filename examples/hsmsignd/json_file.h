/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON that is read while requests run: what is no such file is refused, and
 * nothing of what is in it is said.
 */
#ifndef HSMSIGND_JSON_FILE_H
#define HSMSIGND_JSON_FILE_H

#include <stddef.h>
#include <jansson.h>

/* To be given back; NULL and why. */
json_t *json_file_load(const char *path, char *error, size_t size);

#endif
