def from_theirs(w, x, s):
    path, t, u = dgm.paths.linear(), 1 - s, -w
    clean = dgm.predictions.to_x0(u, "velocity", x, path, t)
    others = [dgm.predictions.from_x0(clean, kind, x, path, t) for kind in ("eps", "score")]
    return u, clean, *others
