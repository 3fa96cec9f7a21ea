def self_train(x, y, threshold, rounds):
    known = y >= 0
    model = LogisticRegression().fit(x[known], y[known])
    for _ in range(rounds):
        sure = torch.as_tensor(model.predict_proba(x)).max(1).values >= threshold
        use = sure & ~known
        guess = torch.as_tensor(model.predict(x))
        if use.sum() and len(guess[use].unique()) > 1:
            model = LogisticRegression().fit(x[use], guess[use])
    return model
