/* The script image, and what `import` finds in it.
 *
 * An image is an array of [path, source], the script to begin with first. It is there while a script loads and gone
 * afterwards: what is not imported by then cannot be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define PATH_BYTES_MOST 256
#define TOLD_MOST 12 /* members named in an error */

static struct {
    const uint8_t *bytes;
    Member *members;
    int count;
} image;

bool image_open(const uint8_t *bytes, size_t size) {
    Reader r = {bytes, bytes + size};
    uint32_t count, parts;
    if (!read_array(&r, &count) || count == 0 || count > size) return false;
    image.members = calloc(count, sizeof *image.members);
    if (image.members == NULL) return false;
    image.bytes = bytes, image.count = (int)count;
    for (uint32_t index = 0; index < count; index++) {
        Member *member = &image.members[index];
        if (!read_array(&r, &parts) || parts != 2 || !read_text(&r, &member->path, &member->path_size) ||
            !read_bytes(&r, &member->text, &member->size) || member->path_size > PATH_BYTES_MOST)
            return false;
    }
    return r.at == r.end;
}

void image_close(void) {
    free((void *)image.bytes);
    free(image.members);
    memset(&image, 0, sizeof image);
}

int image_count(void) { return image.count; }
Member image_member(int index) { return image.members[index]; }

static const Member *find(const char *path) {
    size_t size = strlen(path);
    for (int index = 0; index < image.count; index++)
        if (image.members[index].path_size == size && memcmp(image.members[index].path, path, size) == 0)
            return &image.members[index];
    return NULL;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */
/* `name`, relative to the folder of `base`. False: it leads out of the bundle, or is too long. */
static bool join(const char *base, const char *name, char into[PATH_BYTES_MOST + 1]) {
    const char *slash = strrchr(base, '/');
    size_t used = slash == NULL ? 0 : (size_t)(slash - base);
    if (used > PATH_BYTES_MOST) return false;
    memcpy(into, base, used);
    while (*name) {
        size_t part = strcspn(name, "/");
        if (part == 2 && memcmp(name, "..", 2) == 0) {
            if (used == 0) return false;
            while (used > 0 && into[--used] != '/') continue;
        } else if (part > 0 && !(part == 1 && *name == '.')) {
            if (used + 1 + part > PATH_BYTES_MOST) return false;
            if (used > 0) into[used++] = '/';
            memcpy(into + used, name, part);
            used += part;
        }
        name += part + (name[part] == '/');
    }
    into[used] = 0;
    return true;
}

static bool is_ours(const char *name) { return strcmp(name, "hostel") == 0 || strncmp(name, "hostel:", 7) == 0; }

static void tell_missing(JSContext *ctx, const char *base, const char *name) {
    char told[600] = "";
    size_t used = 0;
    for (int index = 0; index < image.count && index < TOLD_MOST && used < sizeof told; index++) {
        Member member = image_member(index);
        used += (size_t)snprintf(told + used, sizeof told - used, "%s%.*s", index ? ", " : "",
                                 member.path_size < 40 ? (int)member.path_size : 40, member.path);
    }
    JS_ThrowReferenceError(ctx, "%.80s imports '%.80s', which the bundle does not have. It has %s%s", base,
                           name, told, image.count > TOLD_MOST ? " and more" : "");
}

char *module_normalize(JSContext *ctx, const char *base, const char *name, void *opaque) {
    (void)opaque;
    char path[PATH_BYTES_MOST + 1];
    if (strcmp(name, "hostel") == 0 || (is_ours(name) && is_ours(base))) return js_strdup(ctx, name);
    if (strncmp(name, "./", 2) != 0 && strncmp(name, "../", 3) != 0) {
        JS_ThrowReferenceError(ctx, "%.80s imports '%.80s'. What can be imported is 'hostel', and files of the bundle "
                                    "by a path that begins with ./ or ../, such as './%.80s'", base, name, name);
    } else if (!join(base, name, path)) {
        JS_ThrowReferenceError(ctx, "%.80s imports '%.80s', which leads out of the bundle", base, name);
    } else if (image.count != 0 && find(path) == NULL) {
        tell_missing(ctx, base, path);
    } else {
        return js_strdup(ctx, path);
    }
    JSValue error = JS_GetException(ctx); /* thrown in no code: its place is told by describe() */
    JS_DefinePropertyValueStr(ctx, error, "fileName", JS_NewString(ctx, base), 0);
    JS_Throw(ctx, error);
    return NULL;
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */
static JSValue compile(JSContext *ctx, Member member, const char *name) {
    char *text = (char *)member.text, after = text[member.size];
    text[member.size] = 0; /* lent from whatever comes next: the parser wants a text that ends with 0 */
    JSValue compiled = JS_Eval(ctx, text, member.size, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    text[member.size] = after;
    return compiled;
}

static int give_json(JSContext *ctx, JSModuleDef *module) {
    return JS_SetModuleExport(ctx, module, "default", JS_GetModulePrivateValue(ctx, module));
}

static JSModuleDef *json_module(JSContext *ctx, Member member, const char *name) {
    char *text = (char *)member.text, after = text[member.size];
    text[member.size] = 0;
    JSValue value = JS_ParseJSON(ctx, text, member.size, name);
    text[member.size] = after;
    if (JS_IsException(value)) return NULL;
    JSModuleDef *module = JS_NewCModule(ctx, name, give_json);
    if (module == NULL || JS_AddModuleExport(ctx, module, "default") < 0) {
        JS_FreeValue(ctx, value);
        return NULL;
    }
    JS_SetModulePrivateValue(ctx, module, value);
    return module;
}

JSModuleDef *module_load(JSContext *ctx, const char *name, void *opaque, JSValueConst attributes) {
    (void)opaque, (void)attributes;
    const Member *member = find(name);
    if (member == NULL) {
        JS_ThrowReferenceError(ctx, "'%.80s' cannot be imported now: a file is loaded with the script, or never. "
                                    "Import it at the top", name);
        return NULL;
    }
    size_t size = strlen(name);
    if (size > 5 && strcmp(name + size - 5, ".json") == 0) return json_module(ctx, *member, name);
    JSValue compiled = compile(ctx, *member, name);
    if (JS_IsException(compiled)) return NULL;
    JSModuleDef *module = JS_VALUE_GET_PTR(compiled);
    JS_FreeValue(ctx, compiled); /* the context keeps it */
    return module;
}

int module_attributes(JSContext *ctx, void *opaque, JSValueConst attributes) {
    (void)opaque;
    JSValue type = JS_GetPropertyStr(ctx, attributes, "type");
    const char *text = JS_IsUndefined(type) ? NULL : JS_ToCString(ctx, type);
    bool known = JS_IsUndefined(type) || (text != NULL && strcmp(text, "json") == 0);
    if (!known && text != NULL) JS_ThrowTypeError(ctx, "an import has the type 'json' or none");
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, type);
    return known ? 0 : -1;
}

JSValue module_evaluate(JSContext *ctx, Member member) {
    char name[PATH_BYTES_MOST + 1];
    memcpy(name, member.path, member.path_size);
    name[member.path_size] = 0;
    JSValue compiled = compile(ctx, member, name);
    if (JS_IsException(compiled) || JS_ResolveModule(ctx, compiled) < 0) return JS_EXCEPTION;
    JSModuleDef *module = JS_VALUE_GET_PTR(compiled);
    JSValue done = JS_EvalFunction(ctx, compiled); /* takes it */
    if (JS_IsException(done)) return done;
    JS_PromiseMarkAsHandled(ctx, done);
    run_jobs(ctx);
    JSPromiseStateEnum state = JS_PromiseState(ctx, done);
    JSValue result = JS_PromiseResult(ctx, done);
    JS_FreeValue(ctx, done);
    if (state == JS_PROMISE_REJECTED) return JS_Throw(ctx, result);
    JS_FreeValue(ctx, result);
    if (state == JS_PROMISE_FULFILLED) return JS_GetModuleNamespace(ctx, module);
    return JS_ThrowPlainError(ctx, "%s awaits something at its top level that does not come: nothing can be waited for "
                                   "while the script loads", name);
}
