/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_fixture.h"

int audit_setup(void **state)
{
    struct audit_fixture *f = calloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    if (f == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof(f->dir), "%s/hsmsign-audit-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/audit", f->dir);
    (void)snprintf(f->other, sizeof(f->other), "%s/audit.1", f->dir);
    *state = f;
    return 0;
}

int audit_teardown(void **state)
{
    struct audit_fixture *f = *state;

    (void)unlink(f->path);
    (void)unlink(f->other);
    (void)rmdir(f->dir);
    free(f->text);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

struct audit *open_audit(struct audit_fixture *f, bool sync)
{
    struct audit *a = audit_open(f->path, sync, f->error, sizeof(f->error));

    if (a == NULL)
        fail_msg("%s", f->error);
    return a;
}

bool write_entry(struct audit *a, unsigned i, struct audit_mark *mark)
{
    const unsigned char digest[32] = { 0xab, 0xcd, (unsigned char)i };
    const unsigned char certificate[32] = { 0x12 };
    struct audit_entry e = {
        .id = "request-1",
        .user = "document-engine",
        .profile = "default",
        .action = "sign",
        .hash = "sha256",
        .digest = digest,
        .digest_len = sizeof(digest),
        .certificate = certificate,
        .status = 200,
        .good = true,
        .ms = i,
    };

    return audit_write(a, &e, mark);
}

void read_log(struct audit_fixture *f)
{
    FILE *file = fopen(f->path, "r");
    struct stat st;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    free(f->text);
    f->len = (size_t)st.st_size;
    f->text = calloc(1, f->len + 1);
    assert_non_null(f->text);
    assert_int_equal(fread(f->text, 1, f->len, file), f->len);
    (void)fclose(file);
}

void write_log(struct audit_fixture *f)
{
    struct audit *a = open_audit(f, false);
    const char *at;

    for (unsigned i = 1; i < LINES; i++)
        assert_true(write_entry(a, i, NULL));
    audit_close(a);
    read_log(f);
    at = f->text;
    for (size_t i = 0; i < LINES; i++) {
        f->begin[i] = (size_t)(at - f->text);
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    f->begin[LINES] = f->len;
    assert_int_equal(at - f->text, f->len);
}

void put_file(const char *path, const char *mode, const void *data, size_t len)
{
    FILE *file;

    /* ext4 writes a file to the disk at once that was emptied first. */
    if (*mode == 'w')
        (void)unlink(path);
    file = fopen(path, mode);
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

int verify(struct audit_fixture *f, const char *path, const char *other)
{
    char *paths[] = { (char *)path, (char *)other, NULL };
    size_t out_len, err_len;
    FILE *out, *err;
    int status;

    free(f->out);
    free(f->err);
    f->out = f->err = NULL;
    out = open_memstream(&f->out, &out_len);
    err = open_memstream(&f->err, &err_len);
    assert_non_null(out);
    assert_non_null(err);
    status = audit_verify(paths, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return status;
}

/* Ask audit_chain.py, which is started once: whether all is good, and why. */
static bool ask_python(const char *path, const char *other, char text[512])
{
    static FILE *ask, *answer;
    const char *source = getenv("HSMSIGN_SOURCE");
    int in[2], out[2];
    char script[512];

    if (ask == NULL) {
        assert_non_null(source);
        (void)snprintf(script, sizeof(script),
                       "%s/test/examples/hsmsignd/audit_chain.py", source);
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        if (fork() == 0) {
            (void)dup2(in[0], STDIN_FILENO);
            (void)dup2(out[1], STDOUT_FILENO);
            (void)execlp("python3", "python3", script, (char *)NULL);
            _exit(127);
        }
        (void)close(in[0]);
        (void)close(out[1]);
        ask = fdopen(in[1], "w");
        answer = fdopen(out[0], "r");
        assert_non_null(ask);
        assert_non_null(answer);
    }
    (void)fprintf(ask, "%s%s%s\n", path, other != NULL ? "\t" : "",
                  other != NULL ? other : "");
    (void)fflush(ask);
    if (fgets(text, 512, answer) == NULL)
        fail_msg("audit_chain.py does not answer");
    return strncmp(text, "good ", 5) == 0;
}

void assert_good(struct audit_fixture *f, const char *path, const char *other)
{
    char text[512], hash[AUDIT_HASH];
    unsigned long long seq;

    if (verify(f, path, other) != 0)
        fail_msg("%s", f->err);
    if (!ask_python(path, other, text) ||
        sscanf(text, "good %llu %64s", &seq, hash) != 2)
        fail_msg("%s", text);
    /* Both name the same last line. */
    (void)snprintf(text, sizeof(text), " to %llu, chain from ", seq);
    assert_non_null(strstr(f->out, text));
    (void)snprintf(text, sizeof(text), " to %s\n", hash);
    assert_non_null(strstr(f->out, text));
}

void assert_broken(struct audit_fixture *f, const char *want)
{
    char text[512];

    assert_int_equal(verify(f, f->path, NULL), 1);
    if (strstr(f->err, want) == NULL)
        fail_msg("expected: %s\ngot: %s", want, f->err);
    assert_non_null(strstr(f->out, "broken in "));
    if (ask_python(f->path, NULL, text))
        fail_msg("good for Python, but: %s", f->err);
}
