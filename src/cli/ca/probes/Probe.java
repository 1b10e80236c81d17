import java.net.InetAddress;
import java.net.Socket;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/** Opens TLS for HOST with PORT on loopback, as a client of this JVM would, and tells how it went. */
public class Probe {
    public static void main(String[] arguments) throws Exception {
        String host = arguments[0];
        int port = Integer.parseInt(arguments[1]);
        String detail = null;
        try (Socket plain = new Socket(InetAddress.getLoopbackAddress(), port)) {
            plain.setSoTimeout(10000);
            SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
            try (SSLSocket socket = (SSLSocket) factory.createSocket(plain, host, port, true)) {
                SSLParameters parameters = socket.getSSLParameters();
                parameters.setEndpointIdentificationAlgorithm("HTTPS");
                socket.setSSLParameters(parameters);
                socket.startHandshake();
            }
        } catch (Exception error) {
            detail = error.toString();
        }
        String text = detail == null ? "null" : "\"" + detail.replaceAll("[^ -~]", "?").replaceAll("[\"\\\\]", "'") + "\"";
        System.out.println("{\"library\":\"javax.net.ssl\",\"trusted\":" + (detail == null) + ",\"detail\":" + text + "}");
    }
}
