def self_train(x, y, threshold, rounds):
    known = y >= 0
    model = LogisticRegression().fit(x[known], y[known])
    for _ in range(rounds):
        guess = torch.as_tensor(model.predict(x))
        model = LogisticRegression().fit(x, torch.where(known, y, guess))
    return model
