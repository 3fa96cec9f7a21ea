def local_attention(q, k, v, window):
    logits = (q @ k.T / q.shape[1] ** 0.5).tril().triu(-window)
    return logits.softmax(1) @ v
