def critic_turn(generator, critic, optimizer, real, z):
    fake = generator(z).detach()
    value = (logsigmoid(critic(real)) + logsigmoid(-critic(fake))).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
