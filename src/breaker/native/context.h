/* Setting a context variable where there may be no memory. */
#ifndef BREAKER_CONTEXT_H
#define BREAKER_CONTEXT_H

/* `PyContextVar_Set` makes a token, and then the context's new mapping. Without memory for either it drops the token that
 * it does not have, and the process dies; so it does where a thread's first context cannot be made. (`ContextVar.set`
 * alone does it, on 3.11 to 3.13.) A thread's first context is therefore made as a copy of an empty one, and the value
 * is set by `PyContextVar_Reset`, which makes the mapping alone and fails with an error. It wants a token: one is kept,
 * and is told before each use which context it is of and which value to bring back. Without the GIL threads would share
 * that one, so each use makes its own.
 *
 * The fields of a token have been these from 3.7 to 3.15. They are looked at when the module is made; where they are
 * others the value is set in the usual way. */
typedef struct {
    PyObject_HEAD
    PyObject *context;
    PyObject *variable;
    PyObject *before;
    int used;
} bk_token_t;
static PyObject *bk_empty_context;
static bk_token_t *bk_token; /* the collector does not know it, so what it names is borrowed */

static int bk_token_is_known(bk_token_t *token, PyObject *context, PyObject *variable) {
    return Py_TYPE(token)->tp_basicsize == sizeof *token && token->context == context && token->variable == variable
        && token->before == Py_None && token->used == 0;
}
/* 0, or -1 with an error set. */
static int bk_set_by_token(PyObject *context, PyObject *variable, PyObject *value) {
#ifdef Py_GIL_DISABLED
    bk_token_t *token = PyObject_GC_New(bk_token_t, Py_TYPE(bk_token));
    if (token == NULL) return -1;
    token->context = Py_NewRef(context);
    token->variable = Py_NewRef(variable);
    token->before = Py_NewRef(value);
    token->used = 0;
    int failed = PyContextVar_Reset(variable, (PyObject *)token);
    Py_DECREF(token);
    return failed;
#else
    bk_token->context = context;
    bk_token->variable = variable;
    bk_token->before = value;
    bk_token->used = 0;
    return PyContextVar_Reset(variable, (PyObject *)bk_token);
#endif
}
/* When the module is made: 0, or -1 with an error set. */
static int bk_begin_context(PyObject *variable) {
    PyObject *first = NULL, *token = NULL, *context = NULL;
    bk_empty_context = PyContext_New();
    if (bk_empty_context != NULL) context = PyContext_Copy(bk_empty_context);
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return -1;
    }
    first = PyContextVar_Set(variable, Py_None);
    if (first != NULL) token = PyContextVar_Set(variable, Py_True);
    PyContext_Exit(context);
    if (token != NULL && bk_token_is_known((bk_token_t *)token, context, variable)) {
        PyObject_GC_UnTrack(token);
        bk_token = (bk_token_t *)token; /* what it owned until now it owns for ever */
    } else Py_XDECREF(token);
    Py_XDECREF(first);
    Py_DECREF(context);
    return token == NULL ? -1 : 0;
}
/* 0, or -1 with an error set. */
static int bk_set_in_context(PyObject *variable, PyObject *value) {
    PyThreadState *thread = PyThreadState_Get();
    if (BK_UNLIKELY(thread->context == NULL)) {
        PyObject *first = PyContext_Copy(bk_empty_context);
        if (first == NULL) return -1;
        if (thread->context == NULL) thread->context = first; /* as the interpreter does where it needs one */
        else Py_DECREF(first); /* a finalizer needed one just now */
    }
    if (bk_token == NULL) {
        PyObject *token = PyContextVar_Set(variable, value);
        Py_XDECREF(token);
        return token == NULL ? -1 : 0;
    }
    return bk_set_by_token(thread->context, variable, value);
}

#endif
