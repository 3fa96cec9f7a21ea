def critic_turn(generator, critic, optimizer, real, z):
    value = (logsigmoid(critic(real)) + logsigmoid(-critic(generator(z)).detach())).mean()
    optimizer.zero_grad()
    (-value).backward()
    optimizer.step()
